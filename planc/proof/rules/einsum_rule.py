"""The rule that most operations share: dims with labels, as in an einsum.

Dims with the same label are one dim of the computation. The ranks may share the work along one label if every
operand that has the label is sharded along it. The result is then sharded along it too, or partial if the
operation sums over it. (DTensor has such a rule as `einop_rule`, Shardy as an op sharding rule.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from planc.proof.rules.operation import Operand, RuleViolation, Unsupported
from planc.proof.types import (
    AVERAGE,
    CONSTANT,
    DEFERRED_BIAS,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    PackedShard,
    Sharded,
    SpmdType,
    packed_shard,
    sharded,
)
from planc.proof.violations import (
    DifferentDims,
    DimUse,
    FullDimNeeded,
    MixedGradients,
    PackedWithUnpacked,
    PartialOperand,
    ShardedWithFull,
    UnreducedGradient,
)

DimLabel = str | int | None
"""None: a dim of size 1 that the operation expands, or one that may not be sharded."""
DimLabels = tuple[DimLabel, ...]
LabeledOperand = tuple[Operand, DimLabels]


def einsum_rule(
    operands: Sequence[LabeledOperand],
    result: DimLabels,
    *,
    reduction: Collection[DimLabel] = (),
    need_replication: Collection[DimLabel] = (),
    averaged: Collection[DimLabel] = (),
    use: DimUse = "",
    size_is_literal: bool = False,
    linear_in: Collection[int] | str = (),
) -> SpmdType:
    """The type of a result.

    Args:
        operands: each with a label for each of its dims.
        result: the labels of the result's dims.
        reduction: labels over which the operation sums.
        need_replication: labels along which a rank needs all entries.
        averaged: labels over which the operation takes the mean, on an axis whose ranks have equal parts of the batch.
        use: why it does.
        size_is_literal: whether it does only because of a number in the code.
        linear_in: the operands, by number, in each of which the result is linear for fixed other operands: one
            of them may be partial. `"all"`: it is linear in all of them together, as a sum is.

    Raises:
        RuleViolation: the ranks' local results are not shards of the result.
        Unsupported: an operand is a bias that the module's boundary adds.
    """
    present = [labeled for labeled in operands if labeled[0].type is not DEFERRED_BIAS]
    if not present or (len(present) < len(operands) and linear_in != "all"):
        raise Unsupported("the operation takes a bias that its module adds only after the sum")
    operands = present
    if any(operand.type is PARTIAL for operand, _ in operands):
        return _partial_result([operand for operand, _ in operands], linear_in)
    shards = [
        (labels[operand.type.dim], operand.type)
        for operand, labels in operands
        if isinstance(operand.type, Sharded | PackedShard)
    ]
    if not shards:
        return combine_replicated([operand for operand, _ in operands])
    full_dim_needed = FullDimNeeded(shards[0][1], use, size_is_literal)
    needed = [label for label in need_replication if label not in averaged]
    spmd_type = _sharded_result(operands, shards, result, (*reduction, *averaged), needed, full_dim_needed)
    return AVERAGE if shards[0][0] in averaged else spmd_type


def combine_replicated(operands: Sequence[Operand]) -> SpmdType:
    """The type of a result of replicated operands.

    Raises:
        RuleViolation: one has its full gradient on every rank, another one a partial gradient.
    """
    types = {operand.type for operand in operands}
    if INVARIANT in types and REPLICATED in types:
        raise RuleViolation(MixedGradients())
    return next((spmd_type for spmd_type in (INVARIANT, REPLICATED) if spmd_type in types), CONSTANT)


def forbid_unreduced_gradients(operands: Sequence[Operand], other: Literal["sharded", "partial"]) -> None:
    """Refuse replicated operands whose gradient would be partial and never all-reduced.

    Args:
        operands: those that a sharded or partial operand meets.
        other: what that operand is.

    Raises:
        RuleViolation: an operand is invariant.
    """
    for operand in operands:
        if operand.type is INVARIANT:
            raise RuleViolation(UnreducedGradient(operand.shape, other))


def _is_sharded(spmd_type: SpmdType) -> bool:
    return isinstance(spmd_type, Sharded | PackedShard)


def _partial_result(operands: Sequence[Operand], linear: Collection[int] | str) -> SpmdType:
    if linear == "all":
        if all(operand.type is PARTIAL for operand in operands):
            return PARTIAL
        raise RuleViolation(PartialOperand("sum with a full value"))
    number = next(i for i, operand in enumerate(operands) if operand.type is PARTIAL)
    if number not in linear:
        raise RuleViolation(PartialOperand("nonlinear operation"))
    others = [o for i, o in enumerate(operands) if i != number]
    if any(operand.type is PARTIAL or _is_sharded(operand.type) for operand in others):
        raise RuleViolation(PartialOperand("product with a value that differs"))
    forbid_unreduced_gradients(others, "partial")
    return PARTIAL


def _sharded_result(
    operands: Sequence[LabeledOperand],
    shards: Sequence[tuple[DimLabel, Sharded | PackedShard]],
    result: DimLabels,
    reduction: Collection[DimLabel],
    need_replication: Collection[DimLabel],
    full_dim_needed: FullDimNeeded,
) -> SpmdType:
    """The type of a result of which some operands are sharded: each with the label of its sharded dim."""
    if len({label for label, _ in shards}) > 1:
        raise RuleViolation(DifferentDims(tuple(spmd_type for _, spmd_type in shards)))
    label, first = shards[0]
    if label is None or label in need_replication:
        raise RuleViolation(full_dim_needed)
    replicated = [(operand, labels) for operand, labels in operands if not _is_sharded(operand.type)]
    for operand, labels in replicated:
        if label in labels:
            raise RuleViolation(ShardedWithFull(first, operand.shape))
    all_parts = {spmd_type.parts if isinstance(spmd_type, PackedShard) else None for _, spmd_type in shards}
    if len(all_parts) > 1:
        raise RuleViolation(PackedWithUnpacked())
    forbid_unreduced_gradients([operand for operand, _ in replicated], "sharded")
    if label in reduction:
        return PARTIAL
    if label not in result:
        raise RuleViolation(full_dim_needed)
    (parts,) = all_parts
    return sharded(result.index(label)) if parts is None else packed_shard(result.index(label), parts)
