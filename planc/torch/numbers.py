"""Numbers that remember where they came from.

`x.shape[1]` of a tensor that a plan splits is a rank's own size, not the whole one, so a
proof must know what became of it. While a model is captured, sizes and attributes are
`TrackedInt`s: ints to all who use them, and arithmetic on them is remembered too. Where
code takes the bare number, that is noted: what it does with it cannot be followed.

What nobody sees: C code that reads an int's digits, as `range(n)` and `x.shape.numel()` do.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Protocol, Self

from planc.graphs.form import MAX_NUMBER, MAX_POWER
from planc.ir.graph import Number

MAX_TERMS = 64
"""A formula with more is forgotten: a loop can double it at each turn."""


class Journal(Protocol):
    """Where uses of numbers are written down."""

    def note(self, name: str, arguments: tuple[Any, ...]) -> None: ...


class TrackedInt(int):
    """An int with its origin."""

    source: Number
    journal: Journal
    terms: int

    def __new__(cls, value: int, source: Number, journal: Journal, terms: int = 1) -> Self:
        made = super().__new__(cls, value)
        made.source, made.journal, made.terms = source, journal, terms
        return made


class TrackedFloat(float):
    """A float with its origin."""

    source: Number
    journal: Journal
    terms: int

    def __new__(cls, value: float, source: Number, journal: Journal, terms: int = 1) -> Self:
        made = super().__new__(cls, value)
        made.source, made.journal, made.terms = source, journal, terms
        return made


type_of_tracked = (TrackedInt, TrackedFloat)


def bare(number: Any) -> Any:
    """The plain number."""
    if isinstance(number, TrackedInt):
        return int.__int__(number)
    return float.__float__(number) if isinstance(number, TrackedFloat) else number


def source_of(number: Any) -> Any:
    """The origin of a tracked number; a plain one stands for itself."""
    if isinstance(number, type_of_tracked):
        return number.source
    return int(number) if isinstance(number, bool) else number


def plain(item: Any) -> Any:
    """Arguments with plain numbers, for code that is not to see others."""
    if isinstance(item, type_of_tracked):
        return bare(item)
    if isinstance(item, slice):
        return slice(plain(item.start), plain(item.stop), plain(item.step))
    if type(item) is dict:
        return {key: plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        parts = [plain(part) for part in item]
        if all(map(operator.is_, parts, item)):
            return item
        return parts if isinstance(item, list) else tuple(parts)
    return item


def computed(value: Any, op: str, *operands: Any) -> Any:
    """A result with its formula, or a plain one where the formula says too much or nothing."""
    tracked = [operand for operand in operands if isinstance(operand, type_of_tracked)]
    terms = sum(operand.terms for operand in tracked) + 1
    if not _is_sane(value) or terms > MAX_TERMS or (op == "pow" and abs(bare(operands[1])) > MAX_POWER):
        for operand in tracked:
            lose(operand)
        return value
    kind = TrackedInt if type(value) is int else TrackedFloat
    source = Number(op, tuple(map(source_of, operands)), value)
    return kind(value, source, tracked[0].journal, terms)


def _is_sane(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < MAX_NUMBER
    return type(value) is float and math.isfinite(value)


def lose(number: Any) -> None:
    """Note that the bare number is taken."""
    number.journal.note("number.lost", (number.source,))


def _compare(op: str, plainly: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        if _is_sane(bare(other)) or isinstance(other, bool):
            self.journal.note("number.compare", (op, self.source, source_of(other)))
        else:
            lose(self)
        return plainly(bare(self), bare(other))

    return compare


def _binary(op: str, plainly: Callable[[Any, Any], Any], *, mirrored: bool) -> Callable[[Any, Any], Any]:
    def compute(self: Any, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        left, right = (other, self) if mirrored else (self, other)
        return computed(plainly(bare(left), bare(right)), op, left, right)

    return compute


def _divmod(left: Any, right: Any) -> Any:
    return (left // right, left % right) if isinstance(right, int | float) else NotImplemented


def _losing(name: str, kind: type) -> Callable[..., Any]:
    """A method of the plain number, and a note that it was called."""
    method = getattr(kind, name)

    def call(self: Any, *arguments: Any) -> Any:
        lose(self)
        return method(bare(self), *map(bare, arguments))

    return call


def _floor(self: Any, *_: Any) -> Any:
    value = math.floor(bare(self))
    return self if isinstance(self, TrackedInt) else computed(value, "floordiv", self, 1)


def _ceil(self: Any, *_: Any) -> Any:
    if isinstance(self, TrackedInt):
        return self
    down = computed(math.floor(-bare(self)), "floordiv", -self, 1)
    return -down


def _is_nonzero(self: Any) -> bool:
    self.journal.note("number.compare", ("ne", self.source, 0))
    return bool(bare(self))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow")
}
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
_TAKING = ("__int__", "__float__", "__index__", "__trunc__", "__round__", "__abs__", "__hash__", "as_integer_ratio",
           "is_integer", "bit_length", "bit_count", "__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__",
           "__lshift__", "__rlshift__", "__rshift__", "__rrshift__", "__invert__")  # fmt: skip
"""Methods that take the bare number."""


def _methods(kind: type) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {
        name: _losing(name, kind) for name in _TAKING if hasattr(kind, name)
    }
    for name, plainly in _OPERATORS.items():
        found[f"__{name}__"] = _binary(name, plainly, mirrored=False)
        found[f"__r{name}__"] = _binary(name, plainly, mirrored=True)
    for name in _COMPARISONS:
        found[f"__{name}__"] = _compare(name, getattr(operator, name))
    return found | {
        "__divmod__": _divmod,
        "__rdivmod__": lambda self, other: _divmod(other, self),
        "__neg__": lambda self: computed(-bare(self), "neg", self),
        "__pos__": lambda self: self,
        "__bool__": _is_nonzero,
        "__floor__": _floor,
        "__ceil__": _ceil,
        # Copies and pickles are plain: the origin is a tensor of this capture.
        "__reduce_ex__": lambda self, _: (kind, (bare(self),)),
        "__copy__": bare,
        "__deepcopy__": lambda self, _: bare(self),
    }


for _kind, _plain_kind in ((TrackedInt, int), (TrackedFloat, float)):
    for _name, _method in _methods(_plain_kind).items():
        setattr(_kind, _name, _method)
