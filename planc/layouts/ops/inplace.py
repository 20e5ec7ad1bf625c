"""Operations in place: what they write to keeps its type, so that other names of it do too."""

from __future__ import annotations

from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.types import Type


def kept(operation: Operation, kind: Type) -> Type:
    """The type of the tensor that is written to, where `kind` is what is written."""
    target = operation.arguments[0] if operation.arguments else None
    if not isinstance(target, Operand):
        raise NotKnown(f"{operation.name} has no tensor to write to")
    if kind is not target.type:
        raise NotKnown(f"{operation.name} writes what is '{kind}' into a tensor that is '{target.type}'")
    return kind


def writes(operation: Operation) -> bool:
    """Whether a pointwise operation writes to its first operand."""
    name = operation.name
    if name.startswith("__"):
        return name.startswith("__i") and name != "__invert__"
    return name.endswith("_") or operation.keywords.get("inplace") is True
