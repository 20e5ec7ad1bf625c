"""Memory that a boundary has copied.

Views of one tensor share its memory: a write to one shows in the others. A boundary that changes a layout
returns a copy, and a write to the copy shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.graph import Op, Value
from planc.proof.result import AbstractValue
from planc.proof.rules.registry import OpRow
from planc.proof.style_assumptions import iter_tensor_references


def may_alias_copy(step: Op, row: OpRow | None, values: Sequence[AbstractValue]) -> bool:
    """Whether the result of an operation may lie in memory that a boundary has copied."""
    if row is not None and not row.may_alias and not _is_inplace(step):
        return False
    operands = iter_tensor_references((step.arguments, *step.keywords.values()))
    return any(values[item.number].copied for item in operands if isinstance(item, Value))


def _is_inplace(step: Op) -> bool:
    """Whether a call may work in place, as `relu(x, True)` and `relu(x, inplace=True)` do."""
    return step.keywords.get("inplace") is True or any(argument is True for argument in step.arguments[1:])
