"""One operation by its rule, and uses of numbers that are no operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from planc.ir.number_ops import COMPARISONS
from planc.proof.result import ProgramPoint
from planc.proof.rules.averages import infer_with_averages
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    RuleViolation,
    Unsupported,
)
from planc.proof.rules.registry import OpRow, RuleFunction
from planc.proof.types import AVERAGE, CONSTANT, UNKNOWN, LocalIndex, SpmdType
from planc.proof.unproved import (
    SIDE_EFFECTS,
    NoRule,
    NumberEscapes,
    OpaqueTensor,
    SideEffect,
    Unproved,
    UnreadableArguments,
)
from planc.proof.violations import Cause, LocalIndexUsed, SizeRead


class OpResult(NamedTuple):
    """The types of an operation's results; where a cause says why they are unknown, its place too."""

    types: Sequence[SpmdType]
    cause: Cause | None = None
    point: ProgramPoint | None = None
    operands: Sequence[Operand] = ()
    """Operands that may have part in the violation."""


def eval_op(
    operation: Operation, operands: Sequence[Operand], numbers: Sequence[RankDependent], row: OpRow | None
) -> OpResult:
    """The types of the results, by the rule of the operation.

    Args:
        operation: the call.
        operands: the tensors among its arguments.
        numbers: the numbers among its arguments that differ between ranks.
        row: what planc knows of the torch function; None: nothing.
    """
    unknown = [UNKNOWN] * len(operation.results)
    if any(operand.type is UNKNOWN for operand in operands):
        return OpResult(unknown)
    if row is None or row.infer is None:
        draws = row is not None and row.uses_rng(operation)
        if operands and not numbers and not draws and all(operand.type is CONSTANT for operand in operands):
            return OpResult([CONSTANT] * len(operation.results))  # as code computes masks and positions
        return OpResult(unknown, _why_no_rule(operation), ProgramPoint("operation", operation.name))
    if any(number.is_unknown for number in numbers):
        return OpResult(unknown)
    try:
        types = _apply_rule(row, row.infer, operation, operands, numbers)
    except RuleViolation as violation:
        return OpResult(unknown, violation.cause, _signature(operation, operands), operands)
    except Unsupported as unsupported:
        return OpResult(unknown, unsupported.cause, _signature(operation, operands), operands)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # Graph files may be written by hand, or by an enemy: arguments that no rule can read are not proved.
        cause = UnreadableArguments(type(error).__name__)
        return OpResult(unknown, cause, ProgramPoint("operation", operation.name))
    return OpResult(types if len(types) == len(operation.results) else unknown)


def _apply_rule(
    row: OpRow,
    infer: RuleFunction,
    operation: Operation,
    operands: Sequence[Operand],
    numbers: Sequence[RankDependent],
) -> Sequence[SpmdType]:
    if not row.accepts_local_index:
        for operand in operands:
            if isinstance(operand.type, LocalIndex):
                raise RuleViolation(LocalIndexUsed(operand.type))
    if numbers and (not row.accepts_rank_dependent or any(n.local_value is None for n in numbers)):
        raise RuleViolation(size_read(numbers[0]))
    if any(operand.type is AVERAGE for operand in operands):
        return infer_with_averages(infer, operation, operands)
    types = infer(operation)
    return [types] * len(operation.results) if isinstance(types, SpmdType) else types


def _signature(operation: Operation, operands: Sequence[Operand]) -> ProgramPoint:
    return ProgramPoint("operation", operation.name, tuple([operand.type for operand in operands]))


def size_read(number: RankDependent) -> SizeRead:
    """The use of a number that differs between ranks and the whole model, as a cause."""
    return SizeRead(
        number.source, number.global_value, number.local_value, in_argument=False, parts=number.parts
    )


class SizeUse(NamedTuple):
    """A use of numbers that is no operation: whether it is unknown, or breaks a law."""

    is_unknown: bool = False
    cause: Cause | None = None
    point: ProgramPoint | None = None


def check_size_use(name: str, arguments: Sequence[Any]) -> SizeUse:
    """A branch on numbers, or a conversion to a plain number that planc cannot follow.

    Args:
        name: `number.compare`, or another use.
        arguments: evaluated; of a comparison the operator first.
    """
    numbers = [item for item in arguments if isinstance(item, RankDependent)]
    if any(number.is_unknown for number in numbers):
        return SizeUse(is_unknown=True)
    if not numbers:
        return SizeUse()
    if name == "number.compare" and all(number.local_value is not None for number in numbers):
        row, sides = COMPARISONS.get(str(arguments[0])), arguments[1:]
        everywhere = [side.global_value if isinstance(side, RankDependent) else side for side in sides]
        on_a_rank = [side.local_value if isinstance(side, RankDependent) else side for side in sides]
        if row is not None and row.compute(*everywhere) == row.compute(*on_a_rank):
            return SizeUse()
        return SizeUse(cause=size_read(numbers[0]), point=ProgramPoint("branch"))
    return SizeUse(cause=NumberEscapes(numbers[0].source), point=ProgramPoint("number"))


def _why_no_rule(operation: Operation) -> Unproved:
    if operation.name in SIDE_EFFECTS:
        return SideEffect(operation.name)
    if operation.name == "opaque":
        return OpaqueTensor(is_parameter=bool(operation.arguments))
    return NoRule()
