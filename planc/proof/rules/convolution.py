"""Convolutions."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    RuleViolation,
    Unsupported,
    iter_rank_dependent,
)
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_factors
from planc.proof.types import DEFERRED_BIAS, PARTIAL, SpmdType, sharded, sharded_dim
from planc.proof.violations import PartialOperand, UnevenGroups


def adds_batch_dim(operation: Operation) -> bool:
    """Whether the input has no batch dim: torch adds one, and returns a view of the result."""
    x, weight = operation.operands()[:2]
    return x.ndim < weight.ndim


@op_rule(
    "conv1d", "conv2d", "conv3d", accepts_rank_dependent=True, saves=saves_factors(), may_alias=False,
    returns_view=adds_batch_dim,
)  # fmt: skip
def convolution_rule(operation: Operation) -> SpmdType:
    """x (b, in, *spatial), weight (out, in / groups, *window), bias (out) -> (b, out, *spatial)"""
    x, weight, bias, *geometry, groups = operation.bind_arguments(
        "input", "weight", bias=None, stride=1, padding=0, dilation=1, groups=1
    )
    if any(iter_rank_dependent(tuple(geometry))):
        raise Unsupported("a stride, a padding or a dilation differs between ranks")
    if groups != 1:
        return _grouped_convolution(operation, groups, x, weight, bias)
    return _slid_product(operation, x, weight, bias, ("out", "in"))


@op_rule(
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", saves=saves_factors(), may_alias=False,
    returns_view=adds_batch_dim,
)  # fmt: skip
def transposed_convolution_rule(operation: Operation) -> SpmdType:
    """x (b, in, *spatial), weight (in, out / groups, *window), bias (out) -> (b, out, *spatial)"""
    x, weight, bias, *_, groups, _ = operation.bind_arguments(
        "input", "weight", bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
    )
    if groups != 1:
        return _grouped_convolution(operation, groups, x, weight, bias)
    return _slid_product(operation, x, weight, bias, ("in", "out"))


def _slid_product(
    operation: Operation, x: Operand, weight: Operand, bias: Operand | None, channels: tuple[str, str]
) -> SpmdType:
    """The product of one group.

    Args:
        channels: the first two dims of the weight.
    """
    spatial = tuple(range(weight.ndim - 2))
    window: DimLabels = tuple(f"window {dim}" for dim in spatial)
    batch: DimLabels = ("b",) if x.ndim == weight.ndim else ()
    result: DimLabels = (*batch, "out", *spatial)
    product = einsum_rule(
        [(x, (*batch, "in", *spatial)), (weight, (*channels, *window))],
        result,
        reduction=("in",),
        need_replication=(*spatial, *window),
        use="convolution",
        linear_in=(0, 1),
    )
    if bias is None or bias.type is DEFERRED_BIAS:
        return product
    if product is PARTIAL and bias.type is not PARTIAL:
        raise RuleViolation(PartialOperand("bias"))
    operand = Operand(product, operation.results[0].shape)
    return einsum_rule([(operand, result), (bias, ("out",))], result, linear_in="all")


def _grouped_convolution(
    operation: Operation, groups: int | RankDependent, x: Operand, weight: Operand, bias: Operand | None
) -> SpmdType:
    """The ranks may share the groups if the number of groups is each rank's own."""
    params = [weight] if bias is None else [weight, bias]
    if any(operand.type is DEFERRED_BIAS for operand in (x, *params)):
        raise Unsupported("a grouped convolution whose module adds the bias only after the sum")
    channel = int(x.ndim == weight.ndim)
    if isinstance(groups, RankDependent):
        local = groups.local_value
        divides = local is not None and groups.global_value == local * operation.ranks
        if not divides or x.type is not sharded(channel) or any(sharded_dim(o.type) != 0 for o in params):
            raise RuleViolation(UnevenGroups("convolution", groups.global_value, local))
        if not all(operand.type is sharded(0) for operand in params):
            raise Unsupported("packed weights of a grouped convolution")
        return sharded(channel)
    labels: DimLabels = tuple("b" if d < channel else f"x{d}" for d in range(x.ndim))
    weight_labels: DimLabels = tuple(f"w{d}" for d in range(weight.ndim))
    operands: list[LabeledOperand] = [(x, labels), (weight, weight_labels)]
    return einsum_rule(
        operands if bias is None else [*operands, (bias, ("w0",))],
        labels,
        need_replication=[*labels[channel:], *weight_labels],
        use="grouped convolution",
        size_is_literal=sharded_dim(x.type) == channel,
        linear_in=(0, 1) if bias is None else (),
    )
