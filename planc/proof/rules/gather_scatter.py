"""Operations that read or write entries at the positions in an index tensor."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.arguments import normalize_dim
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand

_POSITIONS = "positions"
"""The label of the index tensor's dim that runs along the indexed dim."""


@op_rule("gather", saves=saves(0, 1), may_alias=False)
def gather_rule(operation: Operation) -> SpmdType:
    """x (..., n, ...), index (..., m, ...) with other dims no longer than those of x -> as index"""
    x, dim, index = operation.bind_arguments("input", "dim", "index", sparse_grad=False)[:3]
    dim = normalize_dim(dim, x.ndim)
    labels = _dim_labels(x, dim, _equal_dims(x, dim, index))
    index_labels: DimLabels = tuple(_POSITIONS if d == dim else label for d, label in enumerate(labels))
    return einsum_rule(
        [(x, labels), (index, index_labels)],
        index_labels,
        need_replication=_partly_read(labels),
        linear_in=(0,),
        use="positions",
    )


@op_rule("take_along_dim", may_alias=False)
def take_along_dim_rule(operation: Operation) -> SpmdType:
    """x (..., n, ...), indices (..., m, ...), other dims broadcast -> (..., m, ...)"""
    x, index, dim = operation.bind_arguments("input", "indices", dim=None)
    if dim is None or not isinstance(index, Operand) or index.ndim != x.ndim:
        raise Unsupported("the rule of take_along_dim expects a dim, and tensors with equally many dims")
    dim = normalize_dim(dim, x.ndim)
    shape = operation.results[0].shape
    labels: DimLabels = tuple(
        "along" if d == dim else label for d, label in enumerate(broadcast_labels(x, shape))
    )
    index_labels: DimLabels = tuple(
        _POSITIONS if d == dim else label for d, label in enumerate(broadcast_labels(index, shape))
    )
    result: DimLabels = tuple(_POSITIONS if d == dim else d for d in range(x.ndim))
    return einsum_rule(
        [(x, labels), (index, index_labels)],
        result,
        need_replication=("along",),
        linear_in=(0,),
        use="positions",
    )


@op_rule("scatter", "scatter_add", inplace_variant=True, saves=saves(1), may_alias=False)
@op_rule("scatter_reduce", inplace_variant=True, may_alias=False)
def scatter_rule(operation: Operation) -> SpmdType:
    """x (..., n, ...), index and src (..., m, ...) with other dims no longer than those of x -> as x"""
    keywords = {"src" if name == "value" else name: value for name, value in operation.keywords.items()}
    keywords.pop("include_self", None)
    given = dict(zip(("dim", "index", "src", "reduce"), operation.arguments[1:], strict=False)) | keywords
    x, dim, index, source = (operation.arguments[0], *(given.pop(n, None) for n in ("dim", "index", "src")))
    reduce = given.pop("reduce", None)
    if given or not isinstance(index, Operand) or source is None:
        raise Unsupported(f"the rule of {operation.name} expects a dim, an index and a source")
    dim = normalize_dim(dim, x.ndim)
    tensors = [index, source] if isinstance(source, Operand) else [index]
    labels = _dim_labels(x, dim, set.intersection(*(_equal_dims(x, dim, tensor) for tensor in tensors)))
    is_linear = reduce is None or operation.name.startswith("scatter_add")
    return _scattered_type(operation, (x, labels), (index, labels), (source, labels), is_linear=is_linear)


@op_rule("index_add", inplace_variant=True, may_alias=False)
@op_rule("index_copy", "index_fill", inplace_variant=True, may_alias=False, writes="part")
def index_add_rule(operation: Operation) -> SpmdType:
    """x (..., n, ...), index (m), source (..., m, ...) or a number -> as x"""
    fills = operation.name.startswith("index_fill")
    source_name = "value" if fills else "source"
    x, dim, index, source, _ = operation.bind_arguments("self", "dim", "index", source_name, alpha=1)
    dim = normalize_dim(dim, x.ndim)
    labels: DimLabels = tuple("along" if d == dim else d for d in range(x.ndim))
    source_labels: DimLabels = () if fills else tuple(_POSITIONS if d == dim else d for d in range(x.ndim))
    index_labels: DimLabels = (_POSITIONS,)[: index.ndim]
    return _scattered_type(
        operation, (x, labels), (index, index_labels), (source, source_labels), is_linear=True
    )


def _scattered_type(
    operation: Operation,
    x: LabeledOperand,
    index: LabeledOperand,
    source: tuple[Any, DimLabels],
    *,
    is_linear: bool,
) -> SpmdType:
    """The type of x with entries of the source at the positions of the index.

    Args:
        operation: the call.
        x: the tensor, with a label a dim.
        index: the index tensor.
        source: the source, a tensor or a number.
        is_linear: whether the result is linear in x and the source together.
    """
    value, source_labels = source
    values = [x, (value, source_labels)] if isinstance(value, Operand) else [x]
    if any(operand.type is PARTIAL for operand, _ in values):
        if not is_linear or (not isinstance(value, Operand) and value != 0):
            raise RuleViolation(PartialOperand("scatter"))
        if index[0].type not in SAME_ON_ALL_RANKS:
            raise RuleViolation(PartialOperand("product with a value that differs"))
        spmd_type = einsum_rule(values, x[1], linear_in="all")
    else:
        full = (*_partly_read(x[1]), _POSITIONS)
        spmd_type = einsum_rule([*values, index], x[1], need_replication=full, use="positions")
    return inplace_type(operation, spmd_type) if operation.name.endswith("_") else spmd_type


def _equal_dims(x: Operand, dim: int, other: Operand) -> set[int]:
    """The dims, but for the indexed one, in which two tensors have the same size."""
    if other.ndim != x.ndim:
        raise Unsupported("an index tensor and the tensor that it indexes have different numbers of dims")
    return {d for d in range(x.ndim) if d != dim and x.shape[d] == other.shape[d]}


def _dim_labels(x: Operand, dim: int, equal: set[int]) -> DimLabels:
    """The labels of x: a name for each dim of which the index reads only some entries."""
    return tuple("along" if d == dim else d if d in equal else f"short {d}" for d in range(x.ndim))


def _partly_read(labels: DimLabels) -> DimLabels:
    return tuple(label for label in labels if isinstance(label, str) and label != _POSITIONS)
