"""Python's operators on numbers, as the model's code applies them to sizes: a row each.

A `SymNumber` names them, the file format of graphs allows them, and the proof computes with them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from planc.ir.record import Record

MAX_EXPONENT = 64
"""Of exponents: a short formula could stand for a number that fills the memory."""
_MAX_BASE = 1 << 64


class NumberOp(Record):
    """An operator."""

    name: str
    operands: int
    compute: Callable[..., Any]
    """Computes it; None as the result: the number would be too large."""


def _power(base: Any, exponent: Any) -> Any:
    return base**exponent if abs(exponent) <= MAX_EXPONENT and abs(base) < _MAX_BASE else None


NUMBER_OPS: Mapping[str, NumberOp] = {
    row.name: row
    for row in (
        NumberOp("add", 2, operator.add),
        NumberOp("sub", 2, operator.sub),
        NumberOp("mul", 2, operator.mul),
        NumberOp("floordiv", 2, operator.floordiv),
        NumberOp("truediv", 2, operator.truediv),
        NumberOp("mod", 2, operator.mod),
        NumberOp("pow", 2, _power),
        NumberOp("neg", 1, operator.neg),
    )
}
COMPARISONS: Mapping[str, NumberOp] = {
    row.name: row
    for row in (
        NumberOp("lt", 2, operator.lt),
        NumberOp("le", 2, operator.le),
        NumberOp("gt", 2, operator.gt),
        NumberOp("ge", 2, operator.ge),
        NumberOp("eq", 2, operator.eq),
        NumberOp("ne", 2, operator.ne),
    )
}
"""Those that a branch of the code may ask."""
