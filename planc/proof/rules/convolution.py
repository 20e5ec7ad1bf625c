"""Convolutions."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    RuleViolation,
    Unsupported,
)
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_factors
from planc.proof.types import DEFERRED_BIAS, PARTIAL, SpmdType, sharded, sharded_dim
from planc.proof.violations import PartialOperand, UnevenGroups


@op_rule("conv1d", "conv2d", "conv3d", accepts_rank_dependent=True, saves=saves_factors(), may_alias=False)
def convolution_rule(operation: Operation) -> SpmdType:
    """x (b, in, *places), weight (out, in / groups, *window), bias (out) -> (b, out, *places)"""
    x, weight, bias, *rest, groups = operation.bind_arguments(
        "input", "weight", bias=None, stride=1, padding=0, dilation=1, groups=1
    )
    if any(
        isinstance(part, RankDependent)
        for item in rest
        for part in (item if isinstance(item, tuple) else (item,))
    ):
        raise Unsupported("a stride, a padding or a dilation is not the same on the ranks")
    places = tuple(range(weight.ndim - 2))
    window: DimLabels = tuple(f"window {place}" for place in places)
    batch: DimLabels = ("b",) if x.ndim == weight.ndim else ()
    if groups != 1:
        return _grouped(operation, groups, x, weight, bias)
    terms: list[LabeledOperand] = [(x, (*batch, "in", *places)), (weight, ("out", "in", *window))]
    result: DimLabels = (*batch, "out", *places)
    kind = einsum_rule(
        terms,
        result,
        reduction=("in",),
        need_replication=(*places, *window),
        use="convolution",
        linear_in=(0, 1),
    )
    if bias is None or bias.type is DEFERRED_BIAS:
        return kind
    if kind is PARTIAL and bias.type is not PARTIAL:
        raise RuleViolation(PartialOperand("bias"))
    product = Operand(kind, operation.results[0].shape)
    return einsum_rule([(product, result), (bias, ("out",))], result, linear_in="all")


def _grouped(
    operation: Operation, groups: int | RankDependent, x: Operand, weight: Operand, bias: Operand | None
) -> SpmdType:
    """Groups may be shared among the ranks, if their number is a rank's own."""
    batched = x.ndim == weight.ndim
    operands = [x, weight] if bias is None else [x, weight, bias]
    if any(operand.type is DEFERRED_BIAS for operand in operands):
        raise Unsupported("a bias that is added after the sum, in a convolution in groups")
    own = groups.local_value if isinstance(groups, RankDependent) else groups
    channel = int(batched)
    if isinstance(groups, RankDependent):
        fits = (
            groups.global_value == groups.local_value * operation.ranks
            if groups.local_value is not None
            else False
        )
        if not fits or x.type is not sharded(channel) or any(sharded_dim(o.type) != 0 for o in operands[1:]):
            raise RuleViolation(UnevenGroups("convolution", groups.global_value, own))
        if not all(operand.type is sharded(0) for operand in operands[1:]):
            raise Unsupported("packed weights of a convolution in groups")
        return sharded(channel)
    fixed = [f"x{d}" for d in range(int(batched), x.ndim)] + [f"w{d}" for d in range(weight.ndim)]
    labels: DimLabels = tuple("b" if batched and d == 0 else f"x{d}" for d in range(x.ndim))
    terms: list[LabeledOperand] = [(x, labels), (weight, tuple(f"w{d}" for d in range(weight.ndim)))]
    if bias is not None:
        terms.append((bias, ("w0",)))
    literal = sharded_dim(x.type) == channel
    return einsum_rule(terms, labels, need_replication=fixed, use="grouped convolution", size_is_literal=literal,
                  linear_in=(0, 1) if bias is None else ())  # fmt: skip
