"""Operations that read or write at places that a tensor of numbers says."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.reduction_dims import normalize_plain_dim
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand


@op_rule("gather", saves=saves(0, 1), may_alias=False)
def gather_rule(operation: Operation) -> SpmdType:
    """x, index (as many dims; those but dim no longer) -> as index"""
    x, dim, index = operation.bind_arguments("input", "dim", "index", sparse_grad=False)[:3]
    dim = normalize_plain_dim(dim, x.ndim)
    both = _beside(x, dim, index)
    own: DimLabels = tuple(_other(d, dim, both) for d in range(x.ndim))
    places: DimLabels = tuple("places" if d == dim else label for d, label in enumerate(own))
    return einsum_rule(
        [(x, own), (index, places)], places, need_replication=_short(own), linear_in=(0,), use="positions"
    )


@op_rule("take_along_dim", may_alias=False)
def take_along_dim_rule(operation: Operation) -> SpmdType:
    """x, indices (stretched to each other, but for dim) -> as indices"""
    x, index, dim = operation.bind_arguments("input", "indices", dim=None)
    if dim is None or not isinstance(index, Operand) or index.ndim != x.ndim:
        raise Unsupported("take_along_dim is understood with a dim, and as many dims in both tensors")
    dim = normalize_plain_dim(dim, x.ndim)
    shape = operation.results[0].shape
    own: DimLabels = tuple(
        "along" if d == dim else label for d, label in enumerate(broadcast_labels(x, shape))
    )
    places: DimLabels = tuple(
        "places" if d == dim else label for d, label in enumerate(broadcast_labels(index, shape))
    )
    result: DimLabels = tuple("places" if d == dim else d for d in range(x.ndim))
    return einsum_rule(
        [(x, own), (index, places)], result, need_replication=("along",), linear_in=(0,), use="positions"
    )


@op_rule("scatter", "scatter_add", inplace_variant=True, saves=saves(1), may_alias=False)
@op_rule("scatter_reduce", inplace_variant=True, may_alias=False)
def scatter_rule(operation: Operation) -> SpmdType:
    """x, index and src (as many dims; those but dim no longer than in x) -> as x"""
    keywords = dict(operation.keywords)
    source = keywords.pop("src", keywords.pop("value", None))
    reduce, _ = keywords.pop("reduce", None), keywords.pop("include_self", None)
    names = ("dim", "index", "src", "reduce")
    given = dict(zip(names, operation.arguments[1:], strict=False)) | keywords
    x, dim, index = operation.arguments[0], given.pop("dim", None), given.pop("index", None)
    source, reduce = given.pop("src", source), given.pop("reduce", reduce)
    if given or not isinstance(index, Operand) or source is None:
        raise Unsupported(f"{operation.name} is called in a way that its rule does not know")
    plain = reduce is None or operation.name.startswith("scatter_add")
    return _written(operation, x, normalize_plain_dim(dim, x.ndim), index, source, "all" if plain else ())


def _written(
    operation: Operation, x: Operand, dim: int, index: Operand, source: Any, linear: Any
) -> SpmdType:
    others = [index, source] if isinstance(source, Operand) else [index]
    both = set.intersection(*(_beside(x, dim, other) for other in others))
    labels: DimLabels = tuple(_other(d, dim, both) for d in range(x.ndim))
    return _with_places(operation, x, labels, [(index, labels)], source, labels, linear)


@op_rule("index_add", "index_copy", "index_fill", inplace_variant=True, may_alias=False)
def index_add_rule(operation: Operation) -> SpmdType:
    """x (.., k, ..), index (m), source (.., m, ..) -> as x"""
    filled = operation.name.startswith("index_fill")
    x, dim, index, source, _ = operation.bind_arguments(
        "self", "dim", "index", "value" if filled else "source", alpha=1
    )
    dim = normalize_plain_dim(dim, x.ndim)
    labels: DimLabels = tuple("along" if d == dim else d for d in range(x.ndim))
    places: DimLabels = tuple("places" if d == dim else d for d in range(x.ndim)) if not filled else ()
    return _with_places(operation, x, labels, [(index, ("places",)[: index.ndim])], source, places, "all")


def _with_places(
    operation: Operation, x: Operand, labels: DimLabels, index: list[LabeledOperand], source: Any, places: DimLabels, linear: Any
) -> SpmdType:  # fmt: skip
    """The result is linear in x and source together, or in neither."""
    values: list[LabeledOperand] = [(x, labels)]
    if isinstance(source, Operand):
        values.append((source, places))
    fixed = (*_short(labels), "places")
    if any(operand.type is PARTIAL for operand, _ in values):
        if linear != "all" or (not isinstance(source, Operand) and source != 0):
            raise RuleViolation(PartialOperand("scatter"))
        if any(operand.type not in SAME_ON_ALL_RANKS for operand, _ in index):
            raise RuleViolation(PartialOperand("product with a value that differs"))
        kind = einsum_rule(values, labels, linear_in="all")
    else:
        kind = einsum_rule([*values, *index], labels, need_replication=fixed, use="positions")
    return inplace_type(operation, kind) if operation.name.endswith("_") else kind


def _beside(x: Operand, dim: int, other: Operand) -> set[int]:
    """The dims that two tensors go through side by side, both to the end."""
    if other.ndim != x.ndim:
        raise Unsupported("the places have another number of dims")
    return {d for d in range(x.ndim) if d != dim and x.shape[d] == other.shape[d]}


def _other(d: int, dim: int, both: set[int]) -> str | int:
    if d == dim:
        return "along"
    return d if d in both else f"short {d}"


def _short(labels: DimLabels) -> DimLabels:
    return tuple(label for label in labels if isinstance(label, str) and label != "places")
