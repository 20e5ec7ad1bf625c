"""Operations that read or write at places that a tensor of numbers says."""

from __future__ import annotations

from typing import Any

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.dims import numbered
from planc.layouts.ops.inplace import kept
from planc.layouts.ops.pointwise import aligned
from planc.layouts.types import PARTIAL, WHOLE, Type

_WHY = "places along that dim are counted in the whole"


@rule("gather")
def gather(operation: Operation) -> Type:
    """x, index (as many dims; those but dim no longer) -> as index"""
    x, dim, index = operation.bind("input", "dim", "index", sparse_grad=False)[:3]
    dim = numbered(dim, x.ndim)
    both = _beside(x, dim, index)
    own: Labels = tuple(_other(d, dim, both) for d in range(x.ndim))
    places: Labels = tuple("places" if d == dim else label for d, label in enumerate(own))
    return shared([(x, own), (index, places)], places, fixed=_short(own), linear=(0,), why=_WHY)


@rule("take_along_dim")
def take_along_dim(operation: Operation) -> Type:
    """x, indices (stretched to each other, but for dim) -> as indices"""
    x, index, dim = operation.bind("input", "indices", dim=None)
    if dim is None or not isinstance(index, Operand) or index.ndim != x.ndim:
        raise NotKnown("take_along_dim is understood with a dim, and as many dims in both tensors")
    dim = numbered(dim, x.ndim)
    shape = operation.results[0].shape
    own: Labels = tuple("along" if d == dim else label for d, label in enumerate(aligned(x, shape)))
    places: Labels = tuple("places" if d == dim else label for d, label in enumerate(aligned(index, shape)))
    result: Labels = tuple("places" if d == dim else d for d in range(x.ndim))
    return shared([(x, own), (index, places)], result, fixed=("along",), linear=(0,), why=_WHY)


@rule("scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_")
def scatter(operation: Operation) -> Type:
    """x, index and src (as many dims; those but dim no longer than in x) -> as x"""
    keywords = dict(operation.keywords)
    source = keywords.pop("src", keywords.pop("value", None))
    reduce, _ = keywords.pop("reduce", None), keywords.pop("include_self", None)
    names = ("dim", "index", "src", "reduce")
    given = dict(zip(names, operation.arguments[1:], strict=False)) | keywords
    x, dim, index = operation.arguments[0], given.pop("dim", None), given.pop("index", None)
    source, reduce = given.pop("src", source), given.pop("reduce", reduce)
    if given or not isinstance(index, Operand) or source is None:
        raise NotKnown(f"{operation.name} is called in a way that its rule does not know")
    plain = reduce is None or operation.name.startswith("scatter_add")
    return _written(operation, x, numbered(dim, x.ndim), index, source, "all" if plain else ())


def _written(operation: Operation, x: Operand, dim: int, index: Operand, source: Any, linear: Any) -> Type:
    others = [index, source] if isinstance(source, Operand) else [index]
    both = set.intersection(*(_beside(x, dim, other) for other in others))
    labels: Labels = tuple(_other(d, dim, both) for d in range(x.ndim))
    return _with_places(operation, x, labels, [(index, labels)], source, labels, linear)


@rule("index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_")
def index_add(operation: Operation) -> Type:
    """x (.., k, ..), index (m), source (.., m, ..) -> as x"""
    filled = operation.name.startswith("index_fill")
    x, dim, index, source, _ = operation.bind(
        "self", "dim", "index", "value" if filled else "source", alpha=1
    )
    dim = numbered(dim, x.ndim)
    labels: Labels = tuple("along" if d == dim else d for d in range(x.ndim))
    places: Labels = tuple("places" if d == dim else d for d in range(x.ndim)) if not filled else ()
    return _with_places(operation, x, labels, [(index, ("places",)[: index.ndim])], source, places, "all")


def _with_places(
    operation: Operation, x: Operand, labels: Labels, index: list[Term], source: Any, places: Labels, linear: Any
) -> Type:  # fmt: skip
    """The result is linear in x and source together, or in neither."""
    values: list[Term] = [(x, labels)]
    if isinstance(source, Operand):
        values.append((source, places))
    fixed = (*_short(labels), "places")
    if any(operand.type is PARTIAL for operand, _ in values):
        if linear != "all" or (not isinstance(source, Operand) and source != 0):
            raise Refused(
                "partial", f"a pending sum enters {operation.name}, on every rank", "the sum taken first"
            )
        if any(operand.type not in WHOLE for operand, _ in index):
            raise Refused("partial", "a pending sum meets another value that differs between ranks",
                          "the sum taken first")  # fmt: skip
        kind = shared(values, labels, linear="all")
    else:
        kind = shared([*values, *index], labels, fixed=fixed, why=_WHY)
    return kept(operation, kind) if operation.name.endswith("_") else kind


def _beside(x: Operand, dim: int, other: Operand) -> set[int]:
    """The dims that two tensors go through side by side, both to the end."""
    if other.ndim != x.ndim:
        raise NotKnown("the places have another number of dims")
    return {d for d in range(x.ndim) if d != dim and x.shape[d] == other.shape[d]}


def _other(d: int, dim: int, both: set[int]) -> str | int:
    if d == dim:
        return "along"
    return d if d in both else f"short {d}"


def _short(labels: Labels) -> Labels:
    return tuple(label for label in labels if isinstance(label, str) and label != "places")
