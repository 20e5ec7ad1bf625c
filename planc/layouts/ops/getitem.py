"""Brackets: `x[...]`, and `x[...] = y`."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Slice
from planc.layouts.arguments import arguments, dim_of, tensor
from planc.layouts.factors import Term, shared
from planc.layouts.index import Indexed, masks
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.inplace import kept
from planc.layouts.ops.pointwise import aligned
from planc.layouts.types import CONSTANT, PARTIAL, Counted, Type, counted, cut_dim

INDEXED = "one of its entries is taken, or some are gathered"


def taken(operation: Operation, x: Operand, index: Any) -> Type:
    """The type of the entries that an index takes."""
    inside = Indexed(x, index, operation.ranks)
    if inside.shape != operation.results[0].shape:
        raise NotKnown("an index that is read otherwise")
    return shared(inside.terms(), inside.result, fixed=inside.fixed, why=INDEXED, linear=(0,))


@rule("__getitem__", sizes=True)
def getitem(operation: Operation) -> Type:
    """x (a, b, c): [0] -> (b, c); [:, None] -> (a, 1, b, c); [ids (n)] -> (n, b, c)"""
    x, index = operation.bind("input", "index")
    if isinstance(tensor(x).type, Counted):
        return stretched(x.type, index)
    return taken(operation, tensor(x), index)


def stretched(kind: Counted, index: Any) -> Type:
    """Positions under an index that only gives them more dims of size 1."""
    dims = [d for d, item in enumerate(index if isinstance(index, tuple) else (index,)) if item is not None]
    items = [item for item in (index if isinstance(index, tuple) else (index,)) if item is not None]
    if any(item != Slice(None, None, None) for item in items) or kind.dim >= max(len(dims), 1):
        raise Refused("size-read", str(kind), "positions that are counted along the whole dim")
    return counted(dims[kind.dim], kind.size, str(kind))


@rule("index_select")
def index_select(operation: Operation) -> Type:
    """x (a, b), dim 1, index (n) -> (a, n)"""
    x, dim, index = arguments(operation, "input", "dim", "index")
    dim = dim_of(dim, tensor(x).ndim)
    labels = tuple("there" if d == dim else d for d in range(x.ndim))
    result = tuple("gathered" if d == dim else d for d in range(x.ndim))
    return shared([(x, labels), (tensor(index), ("gathered",)[: index.ndim])], result,
                  fixed=("there",), why=INDEXED, linear=(0,))  # fmt: skip


@rule("__setitem__", sizes=True)
def setitem(operation: Operation) -> Type:
    """x (a, b), x[:, 0] = y (a) or a number -> x (a, b)"""
    x, index, value = operation.bind("input", "index", "value")
    return written(operation, tensor(x), index, value)


@rule("index_put", "index_put_")
def index_put(operation: Operation) -> Type:
    """x (a, b), (ids (n), ), y (n, b) -> x (a, b), y in the rows with these numbers, or added to them"""
    x, index, value, adds = arguments(operation, "input", "indices", "values", accumulate=False)
    if adds not in (False, True):
        raise NotKnown("whether values are added is not known")
    return written(operation, tensor(x), index, value)


def written(operation: Operation, x: Operand, index: Any, value: Any) -> Type:
    """The type of a tensor some of whose entries get other numbers."""
    if x.type is PARTIAL and not isinstance(value, Operand):
        raise Refused("partial", "a number is written into a pending sum", "the sum taken first")
    whole = tuple(range(x.ndim))
    if masks(index):
        return kept(operation, shared(_masked(x, index, value), whole))
    inside = Indexed(x, index, operation.ranks)
    terms: list[Term] = [(x, tuple(inside.labels)), *inside.others]
    fixed = [*inside.fixed, *inside.sliced]
    cut = cut_dim(x.type)
    if cut is not None and (inside.kind is not x.type or cut in fixed):
        raise Refused("cut-along", f"entries of dim {cut} are written, which is {x.type}",
                      "the whole dim on every rank")  # fmt: skip
    if any(item.type is not CONSTANT for item, _ in inside.others):
        raise NotKnown("values are written where a tensor says that differs between ranks")
    if isinstance(value, Operand):
        places = aligned(tensor(value), inside.shape)
        terms.append((value, tuple(None if p is None else inside.result[int(p)] for p in places)))
    kind = shared(
        terms, tuple(inside.labels), fixed=fixed, why="only some of its entries are written", linear="all"
    )
    return kept(operation, kind)


def _masked(x: Operand, index: Any, value: Any) -> list[Term]:
    mask = index[0] if isinstance(index, tuple) else index
    if isinstance(value, Operand) and value.shape:
        raise NotKnown("a tensor is written where a mask says: which of its entries goes where is not known")
    terms: list[Term] = [(x, tuple(range(x.ndim))), (mask, tuple(range(mask.ndim)))]
    return [*terms, (tensor(value), ())] if isinstance(value, Operand) else terms
