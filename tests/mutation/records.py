"""What a mutator gives: plans beside a plan, and what was changed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from planc.ir.plan import Plan
from planc.ir.record import Record

if TYPE_CHECKING:
    from tests.mutation.module_names import ModuleNames


class Change(Record):
    """One change of a plan."""

    kind: str
    """A name of the table of changes."""
    description: str
    """What was there and what is there now, on one line."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.description}"


class Mutant(Record):
    """A neighbour of a plan."""

    plan: Plan
    changes: tuple[Change, ...]
    """What leads to it, in order."""
    number: int
    """From 0 on, among the mutants of its seed."""


MutationResult = tuple[Plan, str] | None
"""A changed plan and what the change says; None: the plan has nothing of this kind."""


class MutationOperator(Record):
    """A row of the table of changes."""

    name: str
    weight: int
    """How often it is drawn, against the others."""
    apply: Callable[[Plan, ModuleNames, Random], MutationResult]
    equivalent: bool = False
    """Whether the new plan says the same of every module of the model, in other words."""
