"""Operations whose result depends on the positions of entries along a dim: roll, flip, pad, unfold, tril."""

from __future__ import annotations

from planc.proof.rules.arguments import (
    as_operand,
    bind_with_aliases,
    normalize_dim,
    normalize_dims,
    rank_invariant_int,
    tensor_and_varargs,
    unpack_varargs,
)
from planc.proof.rules.dim_mapping import require_full_dims
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import PARTIAL, PackedShard, SpmdType
from planc.proof.violations import PartialOperand


@op_rule("roll", saves=saves_nothing, may_alias=False)
def roll_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (a, b), entries moved along some dims"""
    x, _, dims = bind_with_aliases(operation, "input", "shifts", dims=None)
    moved = normalize_dims(dims, as_operand(x).ndim) if dims not in (None, ()) else tuple(range(x.ndim))
    return require_full_dims(x.type, moved, "rolled")


@op_rule("flip", saves=saves_nothing, may_alias=False)
def flip_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> (a, b), some dims reversed"""
    x, dims = tensor_and_varargs(operation, "dims")
    return require_full_dims(x.type, normalize_dims(dims, x.ndim), "flipped")


@op_rule("pad", may_alias=False)
def pad_rule(operation: Operation) -> SpmdType:
    """x (a, b), (1, 2) -> (a, 1 + b + 2)"""
    x, sizes, _, value = bind_with_aliases(operation, "input", "pad", mode="constant", value=None)
    widths = [rank_invariant_int(size) for size in unpack_varargs((sizes,))]
    padded = [as_operand(x).ndim - 1 - i // 2 for i, width in enumerate(widths) if width]
    if x.type is PARTIAL and value not in (None, 0):
        raise RuleViolation(PartialOperand("padding"))
    return require_full_dims(x.type, padded, "padded")


@op_rule("unfold", saves=saves_nothing)
def unfold_rule(operation: Operation) -> SpmdType:
    """x (a, b), windows of 3 along dim 1 -> (a, windows, 3); x (b, c, h, w) -> (b, c * window, windows)"""
    if len(operation.results[0].shape) != operation.operands()[0].ndim + 1:
        return _patches(operation)
    x, dim, _, _ = bind_with_aliases(operation, "input", "dimension", "size", "step")
    return require_full_dims(as_operand(x).type, [normalize_dim(dim, x.ndim)], "cut into windows")


def _patches(operation: Operation) -> SpmdType:
    """x (b, c, h, w) -> (b, c * window, windows): the windows of a channel stand before those of the next one."""
    x, *_ = operation.bind_arguments("input", "kernel_size", dilation=1, padding=0, stride=1)
    if isinstance(as_operand(x).type, PackedShard):
        raise Unsupported("patches of channels that are a packed shard")
    batch: DimLabels = ("b",) if x.ndim == 4 else ()
    return einsum_rule([(x, (*batch, "c", "h", "w"))], (*batch, "c", None), need_replication=("h", "w"),
                  use="patches", linear_in=(0,))  # fmt: skip


@op_rule("tril", "triu", saves=saves_nothing, may_alias=False)
def triangular_rule(operation: Operation) -> SpmdType:
    """x (..., a, b) -> (..., a, b), 0 on one side of a diagonal"""
    x, diagonal = bind_with_aliases(operation, "input", diagonal=0)
    rank_invariant_int(diagonal)
    rest = tuple(range(as_operand(x).ndim - 2))
    labels: DimLabels = (*rest, "row", "column")
    return einsum_rule(
        [(x, labels)],
        labels,
        need_replication=("row", "column"),
        use="diagonal",
        linear_in=(0,),
    )
