"""Numbers that remember where they came from.

`x.shape[1]` of a tensor that a plan splits is a rank's own size, not the whole one, so a
proof must know what became of it. While a model is captured, sizes and attributes are
`TrackedInt`s: ints to all who use them, and arithmetic on them is remembered too. Where
code takes the bare number, that is noted: what it does with it cannot be followed.

They say that they are ints, and have no digits: C code that would read the digits of an int,
as `range(n)` and `1.0 / n` do, has to ask for the number, or to leave the arithmetic to us.
torch's C code takes them since they derive from its symbolic numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from planc.ir.graph import SymNumber
from planc.ir.tree import leaves, replace_leaves


class SizeUseLog(Protocol):
    """Where uses of numbers are written down."""

    def note(self, name: str, arguments: tuple[Any, ...]) -> None: ...


class TrackedInt(torch.SymInt):
    """An int with its origin."""

    def __new__(cls, value: Any = 0, *of: Any) -> Any:
        # `type(n)(3)` is what it is with ints.
        return object.__new__(cls) if of else int(value)

    def __init__(self, value: int, source: SymNumber, journal: SizeUseLog, terms: int = 1) -> None:
        self.value, self.source, self.journal, self.terms = value, source, journal, terms

    @property  # type: ignore[misc]
    def __class__(self) -> type[int]:  # type: ignore[override]
        return int

    @property
    def node(self) -> _Node:
        """What torch's C code asks when a number reaches it."""
        return _Node(self)


class TrackedFloat(torch.SymFloat):
    """A float with its origin."""

    def __new__(cls, value: Any = 0, *of: Any) -> Any:
        # `type(n)(3)` is what it is with floats.
        return object.__new__(cls) if of else float(value)

    def __init__(self, value: float, source: SymNumber, journal: SizeUseLog, terms: int = 1) -> None:
        self.value, self.source, self.journal, self.terms = value, source, journal, terms

    @property  # type: ignore[misc]
    def __class__(self) -> type[float]:  # type: ignore[override]
        return float

    @property
    def node(self) -> _Node:
        """What torch's C code asks when a number reaches it."""
        return _Node(self)


TRACKED_TYPES = (TrackedInt, TrackedFloat)


class _Node:
    """What torch's C code asks a symbolic number that reached it."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def is_int(self) -> bool:
        return isinstance(self.number, TrackedInt)

    def is_float(self) -> bool:
        return not self.is_int()

    def is_bool(self) -> bool:
        return False

    is_nested_int = is_symbolic = is_constant = is_bool

    def guard(self, *_: Any) -> Any:
        mark_escaped(self.number)
        return value_of(self.number)

    guard_int = guard_float = guard


def value_of(number: Any) -> Any:
    """The plain number."""
    return number.value if isinstance(number, TRACKED_TYPES) else number


def tracked_numbers(item: Any) -> list[Any]:
    """The tracked numbers in an argument or a result."""
    return leaves(item, TRACKED_TYPES, into=(slice, list, tuple, Mapping), max_depth=50)


def origin_of(number: Any) -> Any:
    """The origin of a tracked number; a plain one stands for itself."""
    if isinstance(number, TRACKED_TYPES):
        return number.source
    return (int if isinstance(number, int) else float)(number)


def untrack(item: Any) -> Any:
    """Arguments with plain numbers for tracked ones; a container without any stays the object that it is."""
    return replace_leaves(item, TRACKED_TYPES, value_of, into=(slice, list, tuple, dict))


def mark_escaped(number: Any) -> None:
    """Note that the bare number is taken."""
    number.journal.note("number.lost", (number.source,))


def mark_maybe_escaped(number: Any) -> None:
    """The same, where only attributes are in it: `self.layers[: self.depth]` says nothing
    to a plan, unless this is an attribute that a plan can set."""
    name = "number.lost" if _is_read_off_tensors(number.source) else "number.taken"
    number.journal.note(name, (number.source,))


def _is_read_off_tensors(source: Any) -> bool:
    if not isinstance(source, SymNumber) or source.op == "attribute":
        return False
    return source.op in ("size", "numel", "len") or any(map(_is_read_off_tensors, source.arguments))
