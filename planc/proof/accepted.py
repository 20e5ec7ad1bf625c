"""Violations that a plan accepts: which statement does, and with what types the proof goes on behind one."""

from __future__ import annotations

from collections.abc import Sequence

from planc.bind.binding import BoundModule
from planc.ir.graph import TensorInfo
from planc.ir.resolved import Resolved
from planc.proof.rules.operation import Operand
from planc.proof.sentences import HEADLINES
from planc.proof.types import (
    AVERAGE,
    CONSTANT,
    INVARIANT,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    PackedShard,
    Sharded,
    SpmdType,
    sharded,
)
from planc.proof.unproved import (
    NoRule,
    NumberEscapes,
    OpaqueTensor,
    SideEffect,
    TargetsIgnored,
    UnsupportedCall,
)
from planc.proof.violations import UNIT_LAWS, Cause, LayoutLaw

LAWS_OF_ANY_AXIS: tuple[LayoutLaw, ...] = ("no-rule", *UNIT_LAWS)
"""Laws that say the same of an axis that splits the batch as of one that splits tensors."""
_UNPROVED = (NoRule, NumberEscapes, OpaqueTensor, SideEffect, TargetsIgnored, UnsupportedCall)
"""What leaves a plan unproved without a doubt about what is applied: the code runs on each rank as it is."""


def reported_law(law: LayoutLaw, *, splits_batch: bool) -> LayoutLaw:
    """The law that a violation is reported as: on an axis that splits the batch, nearly all are one."""
    return "batch" if splits_batch and law not in LAWS_OF_ANY_AXIS else law


def accepting_statement(
    resolved: Resolved, bound: BoundModule, law: LayoutLaw, *, splits_batch: bool
) -> int | None:
    """The number of the first statement that accepts the violation of a law in a module's own code; None: no one does."""
    if not bound.accepts:
        return None
    code, _ = HEADLINES[reported_law(law, splits_batch=splits_batch)]
    return next((n for n in bound.accepts if resolved.accepts[n].value.code == code), None)


def types_behind(
    cause: Cause, operands: Sequence[Operand], results: Sequence[TensorInfo], *, splits_batch: bool
) -> list[SpmdType] | None:
    """The types with which the proof goes on where a violation is accepted.

    What is accepted is that each rank computes with its own part. On an axis that splits the batch a result with the dim of
    the batch is then a rank's part of it, and another one a mean over the ranks, as a loss is.

    Args:
        cause: the violation.
        operands: the tensors that the operation takes.
        results: the tensors that it gives, with global shapes.
        splits_batch: whether the axis splits the batch; else it splits tensors.

    Returns:
        None: the violation may not be accepted, or planc cannot tell what a rank has then.
    """
    if cause.law == "no-rule" and not isinstance(cause, _UNPROVED):
        return None
    if (isinstance(cause, OpaqueTensor) and cause.is_parameter) or (
        cause.law != "no-rule" and not splits_batch
    ):
        return None
    types = [_type_behind(operands, result, splits_batch) for result in results]
    return None if None in types else types  # type: ignore[return-value]


def _type_behind(operands: Sequence[Operand], result: TensorInfo, splits_batch: bool) -> SpmdType | None:
    packed = next((operand for operand in operands if isinstance(operand.type, PackedShard)), None)
    if packed is not None:
        return packed.type if packed.shape == result.shape else None
    cut = next((operand for operand in operands if isinstance(operand.type, Sharded)), None)
    if cut is not None:
        assert isinstance(cut.type, Sharded)
        dim = _dim_of_size(result.shape, cut.type.dim, cut.shape[cut.type.dim])
        if dim is not None and (splits_batch or not _has_full_gradient(operands)):
            return sharded(dim)
    if all(operand.type in SAME_ON_ALL_RANKS for operand in operands):
        return _same_type(operands, result)
    return AVERAGE if splits_batch and result.is_floating else None


def _dim_of_size(shape: Sequence[int], dim: int, size: int) -> int | None:
    """The dim of a result that a sharded dim becomes: the same one, or the only one of its size."""
    if dim < len(shape) and shape[dim] == size:
        return dim
    return list(shape).index(size) if list(shape).count(size) == 1 else None


def _has_full_gradient(operands: Sequence[Operand]) -> bool:
    """Whether an operand needs its full gradient on every rank, and would get a part of it."""
    return any(operand.type is INVARIANT for operand in operands)


def _same_type(operands: Sequence[Operand], result: TensorInfo) -> SpmdType | None:
    if not result.grad:
        return CONSTANT
    kinds = {operand.type for operand in operands} & {INVARIANT, REPLICATED}
    return kinds.pop() if len(kinds) == 1 else None
