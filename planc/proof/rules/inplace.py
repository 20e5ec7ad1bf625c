"""Operations in place. A tensor that they write to keeps its type, so that its views keep theirs."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Op
from planc.proof.rules.einsum_rule import combine_replicated
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import add_rows, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import CONSTANT, SAME_ON_ALL_RANKS, SpmdType, sharded_dim


def inplace_type(operation: Operation, written: SpmdType) -> SpmdType:
    """The type of the first operand after a write to it.

    Args:
        operation: the call.
        written: the type of what it writes.

    Raises:
        Unsupported: the operand has another type.
    """
    target = operation.arguments[0] if operation.arguments else None
    return written_type(operation, target, written)


def written_type(operation: Operation, target: Any, written: SpmdType) -> SpmdType:
    """The type of a tensor after a write to it, such as the argument `out`.

    Args:
        operation: the call.
        target: the tensor.
        written: the type of what it writes.

    Raises:
        Unsupported: the tensor has another type.
    """
    if not isinstance(target, Operand):
        raise Unsupported(f"{operation.name} has no tensor to write to")
    if written in SAME_ON_ALL_RANKS and target.type in SAME_ON_ALL_RANKS:
        return target.type if written is CONSTANT else combine_replicated([target, Operand(written, ())])
    if written is not target.type:
        raise Unsupported(
            f"{operation.name} writes a value that is '{written}' to one that is '{target.type}'"
        )
    return written


def is_inplace(call: Operation | Op) -> bool:
    """Whether a call writes to its first operand, which torch says by the name or by `inplace=True`."""
    name = call.name
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__invert__", "__iter__"))
    return name.endswith("_") or call.keywords.get("inplace") is True


@op_rule("aliased", saves=saves_nothing)
def aliased_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """A tensor after a write to it, and other views of its memory -> these views, with the new content.

    A view keeps its type. That is right if both are sharded, both are partial, or both are replicated.
    """
    changed, *views = operation.operands()
    types: list[SpmdType] = []
    for view in views:
        are_replicated = view.type in SAME_ON_ALL_RANKS and changed.type in SAME_ON_ALL_RANKS
        is_sharded, was_sharded = sharded_dim(view.type) is not None, sharded_dim(changed.type) is not None
        if is_sharded != was_sharded or not (are_replicated or is_sharded or view.type is changed.type):
            raise Unsupported(
                f"the code writes to a tensor that is '{changed.type}', and has a view of it that is '{view.type}'"
            )
        types.append(combine_replicated([view, changed]) if are_replicated else view.type)
    return tuple(types)


add_rows("opaque", saves=saves_nothing)
