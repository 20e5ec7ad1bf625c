"""The law that most operations share.

The dims of operands and results are named by labels; dims with one label are one dim of
the computation, as in an einsum. Ranks may share the work along one label, if every
operand that has it is split along it. What comes out is split along it too, or, where the
operation sums over the label, partial.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from planc.layouts.operation import Fault, NotKnown, Operand, Refused
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    LATE,
    PARTIAL,
    REPLICATED,
    Packed,
    Split,
    Type,
    packed,
    split,
)

Label = str | int | None
"""None: a dim of size 1 that is stretched, or one that nobody may split."""
Labels = tuple[Label, ...]
Term = tuple[Operand, Labels]


def shared(
    terms: Sequence[Term],
    result: Labels,
    *,
    sums: Collection[Label] = (),
    fixed: Collection[Label] = (),
    why: str = "it works along that dim",
    law: Fault = "cut-along",
    linear: Collection[int] | str = (),
) -> Type:
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
    rest = [term for term in terms if term[0].type is not LATE]
    if not rest or (len(rest) < len(terms) and linear != "all"):
        raise NotKnown("a bias that is added after the sum is used otherwise")
    terms = rest
    if any(operand.type is PARTIAL for operand, _ in terms):
        return _partial([operand for operand, _ in terms], linear)
    cut = [(operand, labels, operand.type) for operand, labels in terms if _is_cut(operand.type)]
    if not cut:
        return together([operand for operand, _ in terms])
    return _cut(terms, cut, result, sums, fixed, why, law)


def together(operands: Sequence[Operand]) -> Type:
    """The type of what whole operands give.

    Raises:
        Refused: one has a gradient that is whole on every rank, another one that is in parts.
    """
    kinds = {operand.type for operand in operands}
    if INVARIANT in kinds and REPLICATED in kinds:
        raise Refused(
            "gradient",
            "a value whose gradient every rank computes whole, beside one whose gradient is in parts",
            "one boundary for both, so that the parts are summed",
        )
    for kind in (INVARIANT, REPLICATED):
        if kind in kinds:
            return kind
    return CONSTANT


def beside_parts(operands: Sequence[Operand], what: str) -> None:
    """Refuse whole operands whose gradient would be a part of the whole, and never summed."""
    for operand in operands:
        if operand.type is INVARIANT:
            raise Refused(
                "gradient",
                f"a replicated value of shape {_shape(operand)} is used beside one that is {what}",
                "a boundary or a style that sums its gradient over the ranks",
            )


def _is_cut(kind: Type) -> bool:
    return isinstance(kind, Split | Packed)


def _partial(operands: Sequence[Operand], linear: Collection[int] | str) -> Type:
    if linear == "all":
        if all(operand.type is PARTIAL for operand in operands):
            return PARTIAL
        raise Refused("partial", "a pending sum is added to a value that is no pending sum",
                      "the sum taken first: every rank would add that value once more")  # fmt: skip
    number = next(i for i, operand in enumerate(operands) if operand.type is PARTIAL)
    if number not in linear:
        raise Refused("partial", "a pending sum enters an operation that is not linear in it",
                      "the sum taken first, at the module that leaves it")  # fmt: skip
    others = [o for i, o in enumerate(operands) if i != number]
    if any(operand.type is PARTIAL or _is_cut(operand.type) for operand in others):
        raise Refused("partial", "a pending sum meets another value that differs between ranks",
                      "the sum taken first")  # fmt: skip
    beside_parts(others, "partial")
    return PARTIAL


def _cut(
    terms: Sequence[Term],
    cut: list[tuple[Operand, Labels, Type]],
    result: Labels,
    sums: Collection[Label],
    fixed: Collection[Label],
    why: str,
    law: Fault,
) -> Type:
    labels = {labels[kind.dim] for _, labels, kind in cut}  # type: ignore[attr-defined]
    first = cut[0][2]
    if len(labels) > 1:
        raise Refused("meet", " beside ".join(str(kind) for _, _, kind in cut),
                      "operands that are split along the same dim")  # fmt: skip
    (label,) = labels
    if label is None or label in fixed:
        raise Refused(law, f"its operand is {first}, and {why}", "the whole dim on every rank")
    rest = [(operand, own) for operand, own in terms if not _is_cut(operand.type)]
    for operand, own in rest:
        if label in own:
            raise Refused("meet", f"{first} beside a whole value of shape {_shape(operand)}",
                          "operands that are split along the same dim")  # fmt: skip
    packs = {(kind.parts if isinstance(kind, Packed) else None) for _, _, kind in cut}
    if len(packs) > 1:
        raise Refused("meet", "a packed shard beside one that is cut in one piece",
                      "operands that are cut alike")  # fmt: skip
    beside_parts([operand for operand, _ in rest], "split between the ranks")
    if label in sums:
        return PARTIAL
    if label not in result:
        raise Refused(law, f"its operand is {first}, and {why}", "the whole dim on every rank")
    (parts,) = packs
    return split(result.index(label)) if parts is None else packed(result.index(label), parts)


def _shape(operand: Operand) -> str:
    return "x".join(map(str, operand.shape)) or "()"
