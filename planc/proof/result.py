"""What the proof finds: types of results, faults, communication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.proof.types import SpmdType


class Origin(Record):
    """Where a value got its type."""

    module: str
    rule: Located | None
    """The rule of the plan that said so."""


class AbstractValue:
    """A value while it is followed: its type, where it got that, and whether it may lie in memory
    that a boundary has copied."""

    __slots__ = ("copied", "origin", "type")

    def __init__(self, kind: SpmdType, origin: Origin | None = None, *, copied: bool = False) -> None:
        self.type, self.origin, self.copied = kind, origin, copied


class Violation(Record):
    """A law of layouts that the plan breaks, or (law `no-rule`) an operation that cannot be judged."""

    law: str
    operation: str
    got: str
    needed: str
    rule: Located | None
    """The rule of the module."""
    rule_field: str | None = None
    """The piece of the rule that is meant, as `inputs/0`."""
    origin: Origin | None = None
    """What gave the value its layout."""
    enclosing_rule: Located | None = None
    """The rule of the nearest module around it that has one."""
    module: str = ""
    """Where it is, below the module whose call found it."""
    other_operand_rule: Located | None = None
    """What gave another operand its layout."""


class CollectiveEvent(Record):
    """One collective."""

    module: str
    """The module at whose boundary it is, by its name below the caller."""
    kind: str
    direction: str
    """`forward` or `backward`."""
    shape: tuple[int, ...]
    """The whole tensor's."""
    dtype: str
    bytes: int
    """Of the whole tensor."""
    rule: Located | None
    port: str
    """The port."""
    tensor: int
    """The tensor: the caller's number at an input, the module's own at an output."""
    dim: int | None
    """The dim that is gathered or scattered."""

    @property
    def is_input(self) -> bool:
        """Whether it is at an input of the module."""
        return self.port.startswith("input")


class BoundaryChange(Record):
    """One tensor at the boundary of a module, brought from one type to another; with or without
    communication."""

    module: str
    """By its name below the caller."""
    is_input: bool
    """Whether it is handed to the module, or returned by it."""
    path: tuple[str | int, ...]
    """Where it stands in the arguments, by position or keyword, or in the result."""
    before: SpmdType
    after: SpmdType


class RedundantCollective(Record):
    """Communication that a plan could do without."""

    law: str
    module: str
    got: str
    needed: str
    rule: Located | None
    others: tuple[Located, ...]


class Analysis:
    """What one call of a module gives on one axis; the same for every call like it."""

    __slots__ = (
        "boundary_changes",
        "calls",
        "collectives",
        "full_gradients",
        "has_unknown",
        "has_violations",
        "redundant_collectives",
        "results",
        "rng_uses",
        "summed_gradients",
        "violations",
    )

    def __init__(self) -> None:
        self.results: tuple[AbstractValue, ...] = ()
        self.violations: list[Violation] = []
        self.collectives: list[CollectiveEvent] = []
        self.redundant_collectives: list[RedundantCollective] = []
        self.boundary_changes: list[BoundaryChange] = []
        self.rng_uses: set[str] = set()
        """Whether its own operations draw random numbers: `alike` for values that are the same on
        all ranks, `apart` for values of which ranks hold different entries."""
        self.summed_gradients: dict[str, Any] = {}
        """Parameters whose gradients are summed over the axis after the backward pass."""
        self.full_gradients: dict[str, Any] = {}
        """Parameters whose gradients every rank computes whole, with the rules of their modules."""
        self.calls: list[tuple[str, Analysis]] = []
        """The modules that it calls, by their names."""
        self.has_violations = False
        """Whether there is a fault here or below."""
        self.has_unknown = False
        """Whether a value could not be followed; some fault says why."""

    @property
    def has_findings(self) -> bool:
        """Whether there is something to say of this call itself."""
        return bool(self.violations or self.redundant_collectives)

    def walk(self, path: str = "", *, only: frozenset[int] | None = None) -> Iterator[tuple[str, Analysis]]:
        """Every call, with the name of its module, in the order of execution.

        Args:
            only: the outcomes to visit, by identity; what is called by others is not looked for.
        """
        pending = [(path, self)]
        while pending:
            here, outcome = pending.pop()
            yield here, outcome
            for name, called in reversed(outcome.calls):
                if only is None or id(called) in only:
                    pending.append((join_module_path(here, name), called))

    def distinct_analyses(self) -> list[Analysis]:
        """Every outcome once, callers after those that they call."""
        found: dict[int, Analysis] = {}

        def visit(outcome: Analysis) -> None:
            for _, called in outcome.calls:
                if id(called) not in found:
                    visit(called)
            found[id(outcome)] = outcome

        visit(self)
        return list(found.values())

    def walk_findings(self) -> Iterator[tuple[str, Analysis]]:
        """The calls of which there is something to say, and those on the way to them."""
        loud: set[int] = set()
        for outcome in self.distinct_analyses():
            if outcome.has_findings or any(id(called) in loud for _, called in outcome.calls):
                loud.add(id(outcome))
        return self.walk(only=frozenset(loud))


def join_module_path(path: str, name: str) -> str:
    """The dotted name of a module below another."""
    if name.startswith("/"):
        return name[1:]
    return f"{path}.{name}" if path and name else path or name
