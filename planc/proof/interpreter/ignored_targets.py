"""Entries that a mean over the batch leaves out, such as targets that are `ignore_index`.

Ranks may have other numbers of them, and the mean of their means is then not the whole's. A split model looks at the
inputs that such targets are taken from, and refuses a batch that has one.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.graph import TensorInfo
from planc.proof.interpreter.eval_op import OpResult
from planc.proof.result import Analysis, ProgramPoint
from planc.proof.rules.operation import Operand, Operation
from planc.proof.rules.registry import OpRow
from planc.proof.types import AVERAGE, UNKNOWN
from planc.proof.unproved import TargetsIgnored


def follow_ignored_targets(
    analysis: Analysis, row: OpRow, operation: Operation, result: OpResult
) -> OpResult:
    """Note the inputs that may not have an entry that a mean leaves out; unknown where planc cannot tell which these are."""
    operands = operation.operands()
    if row.looks_up_rows and operands and operands[0].input_number is not None:
        analysis.looked_up.add(operands[0].input_number)
    if AVERAGE not in result.types or (ignored := row.ignored_targets(operation)) is None:
        return result
    source = ignored.operand.input_number
    if source is not None:
        analysis.ignored_targets.add((source, ignored.entry))
        return result
    point = ProgramPoint("operation", operation.name, tuple([operand.type for operand in operands]))
    return OpResult([UNKNOWN] * len(result.types), TargetsIgnored(ignored.entry), point, operands)


def input_number_of(row: OpRow | None, operands: Sequence[Operand], result: TensorInfo) -> int | None:
    """The number of the model's input of which every entry of a result is one.

    Args:
        row: of the operation.
        operands: its tensors.
        result: the shape and dtype of the result.
    """
    if (
        row is None
        or row.entries not in ("same", "taken")
        or not operands
        or operands[0].dtype != result.dtype
    ):
        return None
    return operands[0].input_number


def forbidden_entries(analysis: Analysis) -> dict[int, list[int]]:
    """By the number of an input of the model, the entries that it may not have."""
    found: dict[int, list[int]] = {}
    every = analysis.distinct_analyses()
    looked_up = {number for each in every for number in each.looked_up}
    for number, entry in sorted({pair for each in every for pair in each.ignored_targets}):
        if entry >= 0 or number not in looked_up:
            found.setdefault(number, []).append(entry)
    return found
