"""Operations in place: what they write to keeps its type, so that other names of it do too."""

from __future__ import annotations

from planc.layouts.factors import together
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.types import CONSTANT, WHOLE, Type, cut_dim


def kept(operation: Operation, kind: Type) -> Type:
    """The type of the tensor that is written to, where `kind` is what is written."""
    target = operation.arguments[0] if operation.arguments else None
    if not isinstance(target, Operand):
        raise NotKnown(f"{operation.name} has no tensor to write to")
    if kind in WHOLE and target.type in WHOLE:
        return target.type if kind is CONSTANT else together([target, Operand(kind, ())])
    if kind is not target.type:
        raise NotKnown(f"{operation.name} writes what is '{kind}' into a tensor that is '{target.type}'")
    return kind


def writes(operation: Operation) -> bool:
    """Whether a pointwise operation writes to its first operand."""
    name = operation.name
    if name.startswith("__"):
        return name.startswith("__i") and name != "__invert__"
    return name.endswith("_") or operation.keywords.get("inplace") is True


@rule("aliased")
def aliased(operation: Operation) -> tuple[Type, ...]:
    """A tensor that was written to, and others that share its memory -> these others.

    What was written lies as the tensor did that it was written to, or both are whole.
    """
    changed, *others = operation.operands()
    kinds: list[Type] = []
    for other in others:
        if (cut_dim(other.type) is None) != (cut_dim(changed.type) is None):
            raise NotKnown(
                f"a value that is '{changed.type}' is written into a part of one that is '{other.type}'"
            )
        whole = other.type in WHOLE and changed.type in WHOLE
        if not whole and cut_dim(other.type) is None and other.type is not changed.type:
            raise NotKnown(
                f"a value that is '{changed.type}' is written into a part of one that is '{other.type}'"
            )
        kinds.append(together([other, changed]) if whole else other.type)
    return tuple(kinds)
