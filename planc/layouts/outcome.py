"""What the proof finds: types of results, faults, communication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planc.ir.record import Record
from planc.ir.settled import Placed
from planc.layouts.types import Type


class Origin(Record):
    """Where a value got its type."""

    module: str
    rule: Placed | None
    """The rule of the plan that said so."""


class Held:
    """A value while it is followed: its type, where it got that, and whether it may lie in memory
    that a boundary has copied."""

    __slots__ = ("copied", "origin", "type")

    def __init__(self, kind: Type, origin: Origin | None = None, *, copied: bool = False) -> None:
        self.type, self.origin, self.copied = kind, origin, copied


class Fault(Record):
    """A law of layouts that the plan breaks, or (law `no-rule`) an operation that cannot be judged."""

    law: str
    operation: str
    got: str
    needed: str
    rule: Placed | None
    """The rule of the module."""
    field: str | None = None
    """The piece of the rule that is meant, as `inputs/0`."""
    origin: Origin | None = None
    """What gave the value its layout."""
    around: Placed | None = None
    """The rule of the nearest module around it that has one."""
    module: str = ""
    """Where it is, below the module whose call found it."""
    beside: Placed | None = None
    """What gave another operand its layout."""


class Move(Record):
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
    rule: Placed | None
    where: str
    """The port."""
    number: int
    """The tensor: the caller's number at an input, the module's own at an output."""
    dim: int | None
    """The dim that is gathered or scattered."""

    @property
    def enters(self) -> bool:
        """Whether it is at an input of the module."""
        return self.where.startswith("input")


class Passage(Record):
    """One tensor at the boundary of a module, brought from one type to another; with or without
    communication."""

    module: str
    """By its name below the caller."""
    enters: bool
    """Whether it is handed to the module, or returned by it."""
    place: tuple[str | int, ...]
    """Where it stands in the arguments, by position or keyword, or in the result."""
    before: Type
    after: Type


class Waste(Record):
    """Communication that a plan could do without."""

    law: str
    module: str
    got: str
    needed: str
    rule: Placed | None
    others: tuple[Placed, ...]


class Outcome:
    """What one call of a module gives on one axis; the same for every call like it."""

    __slots__ = (
        "blind",
        "calls",
        "draws",
        "faults",
        "flawed",
        "moves",
        "passages",
        "results",
        "sums",
        "wastes",
        "whole",
    )

    def __init__(self) -> None:
        self.results: tuple[Held, ...] = ()
        self.faults: list[Fault] = []
        self.moves: list[Move] = []
        self.wastes: list[Waste] = []
        self.passages: list[Passage] = []
        self.draws: set[str] = set()
        """Whether its own operations draw random numbers: `alike` for values that are the same on
        all ranks, `apart` for values of which ranks hold different entries."""
        self.sums: dict[str, Any] = {}
        """Parameters whose gradients are summed over the axis after the backward pass."""
        self.whole: dict[str, Any] = {}
        """Parameters whose gradients every rank computes whole, with the rules of their modules."""
        self.calls: list[tuple[str, Outcome]] = []
        """The modules that it calls, by their names."""
        self.flawed = False
        """Whether there is a fault here or below."""
        self.blind = False
        """Whether a value could not be followed; some fault says why."""

    @property
    def loud(self) -> bool:
        """Whether there is something to say of this call itself."""
        return bool(self.faults or self.wastes)

    def walk(self, path: str = "", *, only: frozenset[int] | None = None) -> Iterator[tuple[str, Outcome]]:
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
                    pending.append((joined(here, name), called))

    def distinct(self) -> list[Outcome]:
        """Every outcome once, callers after those that they call."""
        found: dict[int, Outcome] = {}

        def visit(outcome: Outcome) -> None:
            for _, called in outcome.calls:
                if id(called) not in found:
                    visit(called)
            found[id(outcome)] = outcome

        visit(self)
        return list(found.values())

    def walk_loud(self) -> Iterator[tuple[str, Outcome]]:
        """The calls of which there is something to say, and those on the way to them."""
        loud: set[int] = set()
        for outcome in self.distinct():
            if outcome.loud or any(id(called) in loud for _, called in outcome.calls):
                loud.add(id(outcome))
        return self.walk(only=frozenset(loud))


def joined(path: str, name: str) -> str:
    """The dotted name of a module below another."""
    if name.startswith("/"):
        return name[1:]
    return f"{path}.{name}" if path and name else path or name
