"""Numbers that know their origin.

On a rank, `x.shape[1]` of a tensor that a plan splits is the rank's own size, so a proof must know what the code does
with it. During a capture sizes and attributes are `TrackedInt`s: they behave as ints, and arithmetic on them keeps its
formula. Where code takes the plain number, the number escapes: what the code does with it cannot be followed.

Tracked numbers claim to be ints but hold no digits. C code that would read the digits of an int, as `range(n)` and
`1.0 / n` do, must ask for the number, or leave the arithmetic to Python. torch's C code accepts them since they derive
from its symbolic numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from planc.ir.graph import SymNumber
from planc.ir.tree import leaves, replace_leaves


class SizeUseLog(Protocol):
    """Records uses of tracked numbers."""

    def record_use(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Record a use, as `number.lost`, and the numbers that it uses."""


class TrackedInt(torch.SymInt):
    """An int with its origin."""

    def __new__(cls, value: Any = 0, *origin: Any) -> Any:
        # `type(n)(3)` makes an int, as it does for ints.
        return object.__new__(cls) if origin else int(value)

    def __init__(self, value: int, origin: SymNumber, log: SizeUseLog, terms: int = 1) -> None:
        self.value, self.origin, self.log, self.terms = value, origin, log, terms

    @property  # type: ignore[misc]
    def __class__(self) -> type[int]:  # type: ignore[override]
        return int

    @property
    def node(self) -> _Node:
        """The view of a number that torch's C code has."""
        return _Node(self)


class TrackedFloat(torch.SymFloat):
    """A float with its origin."""

    def __new__(cls, value: Any = 0, *origin: Any) -> Any:
        # `type(n)(3)` makes a float, as it does for floats.
        return object.__new__(cls) if origin else float(value)

    def __init__(self, value: float, origin: SymNumber, log: SizeUseLog, terms: int = 1) -> None:
        self.value, self.origin, self.log, self.terms = value, origin, log, terms

    @property  # type: ignore[misc]
    def __class__(self) -> type[float]:  # type: ignore[override]
        return float

    @property
    def node(self) -> _Node:
        """The view of a number that torch's C code has."""
        return _Node(self)


TRACKED_TYPES = (TrackedInt, TrackedFloat)


class _Node:
    """The interface that torch's C code expects of a symbolic number."""

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
    """The plain number of a tracked one; another value itself."""
    return number.value if isinstance(number, TRACKED_TYPES) else number


def tracked_numbers(item: Any) -> list[Any]:
    """The tracked numbers in an argument or a result."""
    return leaves(item, TRACKED_TYPES, into=(slice, list, tuple, Mapping), max_depth=50)


def origin_of(number: Any) -> Any:
    """The origin of a tracked number; a plain number itself."""
    if isinstance(number, TRACKED_TYPES):
        return number.origin
    return (int if isinstance(number, int) else float)(number)


def untrack(item: Any) -> Any:
    """Arguments with plain numbers in place of tracked ones; a container that holds none stays the same object."""
    return replace_leaves(item, TRACKED_TYPES, value_of, into=(slice, list, tuple, dict))


def mark_escaped(number: Any) -> None:
    """Record that code takes the plain number."""
    number.log.record_use("number.lost", (number.origin,))


def mark_maybe_escaped(number: Any) -> None:
    """Record that code takes the plain number. If it is computed from attributes only, as in `self.layers[: self.depth]`,
    that matters only if a plan can set one of them, which is known when the run is over."""
    name = "number.lost" if _is_read_off_tensors(number.origin) else "number.maybe_escaped"
    number.log.record_use(name, (number.origin,))


def _is_read_off_tensors(origin: Any) -> bool:
    if not isinstance(origin, SymNumber) or origin.op == "attribute":
        return False
    return origin.op in ("size", "numel", "len") or any(map(_is_read_off_tensors, origin.arguments))
