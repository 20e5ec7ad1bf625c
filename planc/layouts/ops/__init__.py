"""The rules: one for each kind of operation, in the file of its family.

A rule takes an `Operation` and gives the type of its result, or a tuple of types where
there are several. It raises `Refused` where the operation on each rank's share is not a
share of the operation on the whole, and `NotKnown` where it cannot tell. Operands of type
UNKNOWN never reach it; numbers that differ between a rank and the whole (`Differs`) do so
only where it is marked `sizes=True`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from planc.ir.record import Record
from planc.layouts.operation import Operation
from planc.layouts.types import Type

Judge = Callable[[Operation], Type | tuple[Type, ...]]


class Rule(Record):
    """How the types of results follow from those of operands."""

    judge: Judge
    sizes: bool
    """Whether it understands numbers that differ between ranks and the whole."""


RULES: dict[str, Rule] = {}
"""By the name of the torch function."""

FAMILIES = ("pointwise", "products")
"""The files of this folder."""


def rule(*names: str, sizes: bool = False) -> Callable[[Judge], Judge]:
    """Make a function the rule of the torch functions with these names."""

    def add(judge: Judge) -> Judge:
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} has two rules")
            RULES[name] = Rule(judge, sizes)
        return judge

    return add


def load() -> dict[str, Rule]:
    """All rules."""
    for family in FAMILIES:
        import_module(f"planc.layouts.ops.{family}")
    return RULES
