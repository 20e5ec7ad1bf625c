"""Brackets: `x[...]`, and `x[...] = y`."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Slice
from planc.proof.rules.arguments import as_operand, bind_with_aliases, normalize_dim
from planc.proof.rules.einsum_rule import LabeledOperand, einsum_rule
from planc.proof.rules.index_expression import IndexExpression, is_mask
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources, saves
from planc.proof.types import CONSTANT, PARTIAL, LocalIndex, SpmdType, local_index, sharded_dim
from planc.proof.violations import LocalIndexUsed, PartialOperand, ShardedDimChanged


def indexed_type(operation: Operation, x: Operand, index: Any) -> SpmdType:
    """The type of the entries that an index takes."""
    inside = IndexExpression(x, index, operation.ranks)
    if inside.shape != operation.results[0].shape:
        raise Unsupported("an index that is read otherwise")
    return einsum_rule(
        inside.labeled_operands(),
        inside.result_labels,
        need_replication=inside.need_replication,
        use="index",
        linear_in=(0,),
    )


def getitem_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """The index tensors, those that torch makes of lists among them: without any, the result is a view.

    A tensor of one number takes an entry, as the number would."""
    operands, index = operation.operands(), operation.arguments[1]
    tensors = [number for number, operand in enumerate(operands) if number and operand.shape]
    lists = [item for item in index if isinstance(item, tuple)] if isinstance(index, tuple) else []
    return (*saved_sources(operation, tensors), *(made((len(item),), "int64") for item in lists))


@op_rule("__getitem__", accepts_rank_dependent=True, accepts_local_index=True, saves=getitem_saves)
def getitem_rule(operation: Operation) -> SpmdType:
    """x (a, b, c): [0] -> (b, c); [:, None] -> (a, 1, b, c); [ids (n)] -> (n, b, c)"""
    x, index = operation.bind_arguments("input", "index")
    if isinstance(as_operand(x).type, LocalIndex):
        return indexed_positions_type(x.type, index)
    return indexed_type(operation, as_operand(x), index)


def indexed_positions_type(kind: LocalIndex, index: Any) -> SpmdType:
    """Positions under an index that only gives them more dims of size 1."""
    dims = [d for d, item in enumerate(index if isinstance(index, tuple) else (index,)) if item is not None]
    items = [item for item in (index if isinstance(index, tuple) else (index,)) if item is not None]
    if any(item != Slice(None, None, None) for item in items) or kind.dim >= max(len(dims), 1):
        raise RuleViolation(LocalIndexUsed(kind))
    return local_index(dims[kind.dim], kind.size, kind.source)


@op_rule("index_select", saves=saves(1), may_alias=False)
def index_select_rule(operation: Operation) -> SpmdType:
    """x (a, b), dim 1, index (n) -> (a, n)"""
    x, dim, index = bind_with_aliases(operation, "input", "dim", "index")
    dim = normalize_dim(dim, as_operand(x).ndim)
    labels = tuple("there" if d == dim else d for d in range(x.ndim))
    result = tuple("gathered" if d == dim else d for d in range(x.ndim))
    return einsum_rule([(x, labels), (as_operand(index), ("gathered",)[: index.ndim])], result,
                  need_replication=("there",), use="index", linear_in=(0,))  # fmt: skip


@op_rule("__setitem__", accepts_rank_dependent=True)
def setitem_rule(operation: Operation) -> SpmdType:
    """x (a, b), x[:, 0] = y (a) or a number -> x (a, b)"""
    x, index, value = operation.bind_arguments("input", "index", "value")
    return index_write_type(operation, as_operand(x), index, value)


@op_rule("index_put", inplace_variant=True, may_alias=False)
def index_put_rule(operation: Operation) -> SpmdType:
    """x (a, b), (ids (n), ), y (n, b) -> x (a, b), y in the rows with these numbers, or added to them"""
    x, index, value, adds = bind_with_aliases(operation, "input", "indices", "values", accumulate=False)
    if adds not in (False, True):
        raise Unsupported("whether values are added is not known")
    return index_write_type(operation, as_operand(x), index, value)


def index_write_type(operation: Operation, x: Operand, index: Any, value: Any) -> SpmdType:
    """The type of a tensor some of whose entries get other numbers."""
    if x.type is PARTIAL and not isinstance(value, Operand):
        raise RuleViolation(PartialOperand("number written"))
    whole = tuple(range(x.ndim))
    if is_mask(index):
        return inplace_type(operation, einsum_rule(_masked(x, index, value), whole))
    inside = IndexExpression(x, index, operation.ranks)
    terms: list[LabeledOperand] = [(x, tuple(inside.labels)), *inside.index_operands]
    fixed = [*inside.need_replication, *inside.sliced_dims]
    cut = sharded_dim(x.type)
    if cut is not None and (inside.sliced_type is not x.type or cut in fixed):
        raise RuleViolation(ShardedDimChanged(cut, x.type, "written in part"))
    if any(item.type is not CONSTANT for item, _ in inside.index_operands):
        raise Unsupported("values are written where a tensor says that differs between ranks")
    if isinstance(value, Operand):
        places = broadcast_labels(as_operand(value), inside.shape)
        terms.append((value, tuple(None if p is None else inside.result_labels[int(p)] for p in places)))
    kind = einsum_rule(
        terms,
        tuple(inside.labels),
        need_replication=fixed,
        use="index write",
        linear_in="all",
    )
    return inplace_type(operation, kind)


def _masked(x: Operand, index: Any, value: Any) -> list[LabeledOperand]:
    mask = index[0] if isinstance(index, tuple) else index
    if isinstance(value, Operand) and value.shape:
        raise Unsupported(
            "a tensor is written where a mask says: which of its entries goes where is not known"
        )
    terms: list[LabeledOperand] = [(x, tuple(range(x.ndim))), (mask, tuple(range(mask.ndim)))]
    return [*terms, (as_operand(value), ())] if isinstance(value, Operand) else terms
