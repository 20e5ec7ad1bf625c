"""The law that most operations share.

The dims of operands and results are named by labels; dims with one label are one dim of
the computation, as in an einsum. Ranks may share the work along one label, if every
operand that has it is split along it. What comes out is split along it too, or, where the
operation sums over the label, partial.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from planc.proof.rules.operation import Operand, RuleViolation, Unsupported
from planc.proof.types import (
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
"""None: a dim of size 1 that is stretched, or one that nobody may split."""
DimLabels = tuple[DimLabel, ...]
LabeledOperand = tuple[Operand, DimLabels]


def einsum_rule(
    operands: Sequence[LabeledOperand],
    result: DimLabels,
    *,
    reduction: Collection[DimLabel] = (),
    need_replication: Collection[DimLabel] = (),
    use: DimUse = "",
    size_is_literal: bool = False,
    linear_in: Collection[int] | str = (),
) -> SpmdType:
    """The type of a result.

    Args:
        terms: the operands with the labels of their dims.
        result: the labels of the result's dims.
        sums: labels over which the operation sums.
        fixed: labels along which a rank needs everything; `why` says why, `law` which law
            is broken otherwise.
        linear: the operands (by number) in each of which, with the others fixed, the result
            is linear: one of them may be partial. `"all"`: it is linear in all of them
            together, as a sum is.
    """
    rest = [term for term in operands if term[0].type is not DEFERRED_BIAS]
    if not rest or (len(rest) < len(operands) and linear_in != "all"):
        raise Unsupported("a bias that is added after the sum is used otherwise")
    operands = rest
    if any(operand.type is PARTIAL for operand, _ in operands):
        return _partial_result([operand for operand, _ in operands], linear_in)
    cut = [(operand, labels, operand.type) for operand, labels in operands if _is_sharded(operand.type)]
    if not cut:
        return combine_replicated([operand for operand, _ in operands])
    return _sharded_result(operands, cut, result, reduction, need_replication, use, size_is_literal)


def combine_replicated(operands: Sequence[Operand]) -> SpmdType:
    """The type of what whole operands give.

    Raises:
        Refused: one has a gradient that is whole on every rank, another one that is in parts.
    """
    kinds = {operand.type for operand in operands}
    if INVARIANT in kinds and REPLICATED in kinds:
        raise RuleViolation(MixedGradients())
    for kind in (INVARIANT, REPLICATED):
        if kind in kinds:
            return kind
    return CONSTANT


def forbid_unreduced_gradients(operands: Sequence[Operand], other: Literal["sharded", "partial"]) -> None:
    """Refuse whole operands whose gradient would be a part of the whole, and never summed."""
    for operand in operands:
        if operand.type is INVARIANT:
            raise RuleViolation(UnreducedGradient(operand.shape, other))


def _is_sharded(kind: SpmdType) -> bool:
    return isinstance(kind, Sharded | PackedShard)


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
    terms: Sequence[LabeledOperand],
    cut: list[tuple[Operand, DimLabels, SpmdType]],
    result: DimLabels,
    sums: Collection[DimLabel],
    fixed: Collection[DimLabel],
    use: DimUse,
    size_is_literal: bool,
) -> SpmdType:
    labels = {labels[kind.dim] for _, labels, kind in cut}  # type: ignore[attr-defined]
    first = cut[0][2]
    if len(labels) > 1:
        raise RuleViolation(DifferentDims(tuple(kind for _, _, kind in cut)))
    (label,) = labels
    if label is None or label in fixed:
        raise RuleViolation(FullDimNeeded(first, use, size_is_literal))
    rest = [(operand, own) for operand, own in terms if not _is_sharded(operand.type)]
    for operand, own in rest:
        if label in own:
            raise RuleViolation(ShardedWithFull(first, operand.shape))
    packs = {(kind.parts if isinstance(kind, PackedShard) else None) for _, _, kind in cut}
    if len(packs) > 1:
        raise RuleViolation(PackedWithUnpacked())
    forbid_unreduced_gradients([operand for operand, _ in rest], "sharded")
    if label in sums:
        return PARTIAL
    if label not in result:
        raise RuleViolation(FullDimNeeded(first, use, size_is_literal))
    (parts,) = packs
    return sharded(result.index(label)) if parts is None else packed_shard(result.index(label), parts)
