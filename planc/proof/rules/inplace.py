"""Operations in place: what they write to keeps its type, so that other names of it do too."""

from __future__ import annotations

from planc.ir.graph import Op
from planc.proof.rules.einsum_rule import combine_replicated
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import add_rows, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import CONSTANT, SAME_ON_ALL_RANKS, SpmdType, sharded_dim


def inplace_type(operation: Operation, kind: SpmdType) -> SpmdType:
    """The type of the tensor that is written to, where `kind` is what is written."""
    target = operation.arguments[0] if operation.arguments else None
    if not isinstance(target, Operand):
        raise Unsupported(f"{operation.name} has no tensor to write to")
    if kind in SAME_ON_ALL_RANKS and target.type in SAME_ON_ALL_RANKS:
        return target.type if kind is CONSTANT else combine_replicated([target, Operand(kind, ())])
    if kind is not target.type:
        raise Unsupported(f"{operation.name} writes what is '{kind}' into a tensor that is '{target.type}'")
    return kind


def is_inplace(call: Operation | Op) -> bool:
    """Whether a call writes to its first operand, which torch says by the name or by `inplace=True`."""
    name = call.name
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__invert__", "__iter__"))
    return name.endswith("_") or call.keywords.get("inplace") is True


@op_rule("aliased", saves=saves_nothing)
def aliased_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """A tensor that was written to, and others that share its memory -> these others.

    What was written lies as the tensor did that it was written to, or both are whole.
    """
    changed, *others = operation.operands()
    kinds: list[SpmdType] = []
    for other in others:
        if (sharded_dim(other.type) is None) != (sharded_dim(changed.type) is None):
            raise Unsupported(
                f"a value that is '{changed.type}' is written into a part of one that is '{other.type}'"
            )
        whole = other.type in SAME_ON_ALL_RANKS and changed.type in SAME_ON_ALL_RANKS
        if not whole and sharded_dim(other.type) is None and other.type is not changed.type:
            raise Unsupported(
                f"a value that is '{changed.type}' is written into a part of one that is '{other.type}'"
            )
        kinds.append(combine_replicated([other, changed]) if whole else other.type)
    return tuple(kinds)


add_rows("opaque", saves=saves_nothing)
