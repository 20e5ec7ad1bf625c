"""The law that most operations share.

The dims of operands and results are named by labels; dims with one label are one dim of
the computation, as in an einsum. Ranks may share the work along one label, if every
operand that has it is split along it. What comes out is split along it too, or, where the
operation sums over the label, partial.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from planc.proof.rules.operation import LayoutLaw, Operand, RuleViolation, Unsupported
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
    reason: str = "it works along that dim",
    law: LayoutLaw = "cut-along",
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
    return _sharded_result(operands, cut, result, reduction, need_replication, reason, law)


def combine_replicated(operands: Sequence[Operand]) -> SpmdType:
    """The type of what whole operands give.

    Raises:
        Refused: one has a gradient that is whole on every rank, another one that is in parts.
    """
    kinds = {operand.type for operand in operands}
    if INVARIANT in kinds and REPLICATED in kinds:
        raise RuleViolation(
            "gradient",
            "a value whose gradient every rank computes whole, beside one whose gradient is in parts",
            "one boundary for both, so that the parts are summed",
        )
    for kind in (INVARIANT, REPLICATED):
        if kind in kinds:
            return kind
    return CONSTANT


def forbid_unreduced_gradients(operands: Sequence[Operand], description: str) -> None:
    """Refuse whole operands whose gradient would be a part of the whole, and never summed."""
    for operand in operands:
        if operand.type is INVARIANT:
            raise RuleViolation(
                "gradient",
                f"a replicated value of shape {_shape_text(operand)} is used beside one that is {description}",
                "a boundary or a style that sums its gradient over the ranks",
            )


def _is_sharded(kind: SpmdType) -> bool:
    return isinstance(kind, Sharded | PackedShard)


def _partial_result(operands: Sequence[Operand], linear: Collection[int] | str) -> SpmdType:
    if linear == "all":
        if all(operand.type is PARTIAL for operand in operands):
            return PARTIAL
        raise RuleViolation("partial", "a pending sum is added to a value that is no pending sum",
                      "the sum taken first: every rank would add that value once more")  # fmt: skip
    number = next(i for i, operand in enumerate(operands) if operand.type is PARTIAL)
    if number not in linear:
        raise RuleViolation("partial", "a pending sum enters an operation that is not linear in it",
                      "the sum taken first, at the module that leaves it")  # fmt: skip
    others = [o for i, o in enumerate(operands) if i != number]
    if any(operand.type is PARTIAL or _is_sharded(operand.type) for operand in others):
        raise RuleViolation("partial", "a pending sum meets another value that differs between ranks",
                      "the sum taken first")  # fmt: skip
    forbid_unreduced_gradients(others, "partial")
    return PARTIAL


def _sharded_result(
    terms: Sequence[LabeledOperand],
    cut: list[tuple[Operand, DimLabels, SpmdType]],
    result: DimLabels,
    sums: Collection[DimLabel],
    fixed: Collection[DimLabel],
    why: str,
    law: LayoutLaw,
) -> SpmdType:
    labels = {labels[kind.dim] for _, labels, kind in cut}  # type: ignore[attr-defined]
    first = cut[0][2]
    if len(labels) > 1:
        raise RuleViolation("meet", " beside ".join(str(kind) for _, _, kind in cut),
                      "operands that are split along the same dim")  # fmt: skip
    (label,) = labels
    if label is None or label in fixed:
        raise RuleViolation(law, f"its operand is {first}, and {why}", "the whole dim on every rank")
    rest = [(operand, own) for operand, own in terms if not _is_sharded(operand.type)]
    for operand, own in rest:
        if label in own:
            raise RuleViolation("meet", f"{first} beside a whole value of shape {_shape_text(operand)}",
                          "operands that are split along the same dim")  # fmt: skip
    packs = {(kind.parts if isinstance(kind, PackedShard) else None) for _, _, kind in cut}
    if len(packs) > 1:
        raise RuleViolation("meet", "a packed shard beside one that is cut in one piece",
                      "operands that are cut alike")  # fmt: skip
    forbid_unreduced_gradients([operand for operand, _ in rest], "split between the ranks")
    if label in sums:
        return PARTIAL
    if label not in result:
        raise RuleViolation(law, f"its operand is {first}, and {why}", "the whole dim on every rank")
    (parts,) = packs
    return sharded(result.index(label)) if parts is None else packed_shard(result.index(label), parts)


def _shape_text(operand: Operand) -> str:
    return "x".join(map(str, operand.shape)) or "()"
