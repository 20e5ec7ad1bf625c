"""Indexing: `x[...]`, `x[...] = y`, index_select, index_put."""

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
    """The type of `x[index]`."""
    expression = IndexExpression(x, index, operation.ranks)
    if expression.shape != operation.results[0].shape:
        raise Unsupported("an index whose result has another shape than planc expects")
    return einsum_rule(
        expression.labeled_operands(),
        expression.result_labels,
        need_replication=expression.need_replication,
        use="index",
        linear_in=(0,),
    )


def getitem_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """The index tensors, and those that torch makes of lists. Without any, the result is a view.

    An index tensor without dims selects an entry, as a number does.
    """
    operands, index = operation.operands(), operation.arguments[1]
    tensors = [number for number, operand in enumerate(operands) if number and operand.shape]
    lists = [item for item in index if isinstance(item, tuple)] if isinstance(index, tuple) else []
    return (*saved_sources(operation, tensors), *(made((len(item),), "int64") for item in lists))


@op_rule(
    "__getitem__", accepts_rank_dependent=True, accepts_local_index=True, saves=getitem_saves, entries="taken"
)
def getitem_rule(operation: Operation) -> SpmdType:
    """x (a, b, c): [0] -> (b, c); [:, None] -> (a, 1, b, c); [ids (n)] -> (n, b, c)"""
    x, index = operation.bind_arguments("input", "index")
    if isinstance(as_operand(x).type, LocalIndex):
        return indexed_positions_type(x.type, index)
    return indexed_type(operation, as_operand(x), index)


def indexed_positions_type(positions: LocalIndex, index: Any) -> SpmdType:
    """The type of positions under an index that only adds dims of size 1.

    Raises:
        RuleViolation: the index takes some of the positions.
    """
    items = index if isinstance(index, tuple) else (index,)
    dims = [d for d, item in enumerate(items) if item is not None]
    takes_some = any(items[d] != Slice(None, None, None) for d in dims)
    if takes_some or positions.dim >= max(len(dims), 1):
        raise RuleViolation(LocalIndexUsed(positions))
    return local_index(dims[positions.dim], positions.size, positions.source)


@op_rule("index_select", saves=saves(1), may_alias=False)
def index_select_rule(operation: Operation) -> SpmdType:
    """x (a, b), dim 1, index (n) -> (a, n)"""
    x, dim, index = bind_with_aliases(operation, "input", "dim", "index")
    dim = normalize_dim(dim, as_operand(x).ndim)
    labels = tuple("along" if d == dim else d for d in range(x.ndim))
    result = tuple("gathered" if d == dim else d for d in range(x.ndim))
    return einsum_rule([(x, labels), (as_operand(index), ("gathered",)[: index.ndim])], result,
                  need_replication=("along",), use="index", linear_in=(0,))  # fmt: skip


@op_rule("__setitem__", accepts_rank_dependent=True, writes="part")
def setitem_rule(operation: Operation) -> SpmdType:
    """x (a, b), x[:, 0] = y (a) or a number -> x (a, b)"""
    x, index, value = operation.bind_arguments("input", "index", "value")
    return index_write_type(operation, as_operand(x), index, value)


@op_rule("index_put", inplace_variant=True, may_alias=False)
def index_put_rule(operation: Operation) -> SpmdType:
    """x (a, b), (ids (n),), y (n, b) -> x (a, b), with y in these rows, or added to them"""
    x, index, value, accumulate = bind_with_aliases(operation, "input", "indices", "values", accumulate=False)
    if accumulate not in (False, True):
        raise Unsupported("the argument 'accumulate' of index_put is not a bool")
    return index_write_type(operation, as_operand(x), index, value)


def index_write_type(operation: Operation, x: Operand, index: Any, value: Any) -> SpmdType:
    """The type of x after `x[index] = value`."""
    if x.type is PARTIAL and not isinstance(value, Operand):
        raise RuleViolation(PartialOperand("number written"))
    if is_mask(index):
        labels = tuple(range(x.ndim))
        return inplace_type(operation, einsum_rule(_masked_write(x, index, value), labels))
    expression = IndexExpression(x, index, operation.ranks)
    operands: list[LabeledOperand] = [(x, tuple(expression.labels)), *expression.index_operands]
    partly_written = [*expression.need_replication, *expression.sliced_dims]
    dim = sharded_dim(x.type)
    if dim is not None and (expression.sliced_type is not x.type or dim in partly_written):
        raise RuleViolation(ShardedDimChanged(dim, x.type, "written in part"))
    if any(item.type is not CONSTANT for item, _ in expression.index_operands):
        raise Unsupported("the ranks write to different positions")
    if isinstance(value, Operand):
        dims = broadcast_labels(as_operand(value), expression.shape)
        operands.append((value, tuple(None if d is None else expression.result_labels[int(d)] for d in dims)))
    spmd_type = einsum_rule(
        operands,
        tuple(expression.labels),
        need_replication=partly_written,
        use="index write",
        linear_in="all",
    )
    return inplace_type(operation, spmd_type)


def _masked_write(x: Operand, index: Any, value: Any) -> list[LabeledOperand]:
    mask = index[0] if isinstance(index, tuple) else index
    if isinstance(value, Operand) and value.shape:
        raise Unsupported(
            "a tensor is written under a mask: planc does not know which of its entries goes where"
        )
    operands: list[LabeledOperand] = [(x, tuple(range(x.ndim))), (mask, tuple(range(mask.ndim)))]
    return [*operands, (as_operand(value), ())] if isinstance(value, Operand) else operands
