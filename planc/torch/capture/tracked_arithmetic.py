"""Arithmetic, comparison and conversion of tracked numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from numbers import Number as AnyNumber
from typing import Any

from planc.graph.codec import MAX_NUMBER
from planc.ir.graph import SymNumber
from planc.ir.number_ops import MAX_EXPONENT
from planc.torch.capture.tracked_sizes import (
    TRACKED_TYPES,
    TrackedFloat,
    TrackedInt,
    mark_escaped,
    mark_maybe_escaped,
    origin_of,
    tracked_numbers,
    untrack,
    value_of,
)

__all__ = [
    "TRACKED_TYPES",
    "TrackedFloat",
    "TrackedInt",
    "mark_escaped",
    "tracked_numbers",
    "untrack",
    "value_of",
]

MAX_FORMULA_TERMS = 64
"""The longest formula that is kept: a loop can double one at each turn."""


def tracked_result(value: Any, op: str, *operands: Any) -> Any:
    """A tracked result; a plain one where its formula is too long or its value is not finite."""
    tracked = [operand for operand in operands if isinstance(operand, TRACKED_TYPES)]
    terms = sum(operand.terms for operand in tracked) + 1
    if (
        not _is_finite(value)
        or terms > MAX_FORMULA_TERMS
        or (op == "pow" and abs(value_of(operands[1])) > MAX_EXPONENT)
    ):
        for operand in tracked:
            mark_escaped(operand)
        return value
    kind = TrackedInt if type(value) is int else TrackedFloat
    origin = SymNumber(op, tuple(map(origin_of, operands)), value)
    return kind(value, origin, tracked[0].log, terms)


def _is_finite(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < MAX_NUMBER
    return type(value) is float and math.isfinite(value)


def _compare(op: str, plain_op: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        if not isinstance(other, AnyNumber):
            return NotImplemented
        if isinstance(other, bool) or _is_finite(value_of(other)):
            self.log.record_use("number.compare", (op, self.origin, origin_of(other)))
        else:
            mark_escaped(self)
        return plain_op(value_of(self), value_of(other))

    return compare


def _binary(op: str, plain_op: Callable[[Any, Any], Any], *, mirrored: bool) -> Callable[[Any, Any], Any]:
    def compute(self: Any, other: Any, *modulus: Any) -> Any:
        if not isinstance(other, AnyNumber):
            return NotImplemented
        left, right = (other, self) if mirrored else (self, other)
        if modulus or not isinstance(other, int | float):
            mark_escaped(self)
            return (
                pow(value_of(left), value_of(right), *modulus)
                if modulus
                else plain_op(value_of(left), value_of(right))
            )
        return tracked_result(plain_op(value_of(left), value_of(right)), op, left, right)

    return compute


def _divmod(left: Any, right: Any) -> Any:
    return (left // right, left % right) if isinstance(right, AnyNumber) else NotImplemented


def _escaping(name: str, kind: type, mark: Callable[[Any], None]) -> Callable[..., Any]:
    """A method of the plain number that marks the tracked one as escaped."""
    method = getattr(kind, name)

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        mark(self)
        return method(value_of(self), *map(value_of, arguments), **keywords)

    return call


def _escaped(number: Any) -> Any:
    mark_escaped(number)
    return value_of(number)


def _array(self: Any, dtype: Any = None, copy: Any = None) -> Any:
    """The array that numpy makes of it."""
    import numpy as np

    return np.asarray(_escaped(self), dtype)


def _floor(self: Any, *_: Any) -> Any:
    value = math.floor(value_of(self))
    return self if isinstance(self, TrackedInt) else tracked_result(value, "floordiv", self, 1)


def _ceil(self: Any, *_: Any) -> Any:
    if isinstance(self, TrackedInt):
        return self
    down = tracked_result(math.floor(-value_of(self)), "floordiv", -self, 1)
    return -down


def _is_nonzero(self: Any) -> bool:
    self.log.record_use("number.compare", ("ne", self.origin, 0))
    return bool(value_of(self))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow")
}
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
_ESCAPING = ("__int__", "__float__", "__trunc__", "__round__", "__abs__", "__hash__", "as_integer_ratio",
           "is_integer", "bit_length", "bit_count", "to_bytes", "hex", "__and__", "__rand__", "__or__", "__ror__",
           "__xor__", "__rxor__", "__lshift__", "__rlshift__", "__rshift__", "__rrshift__", "__invert__")  # fmt: skip
"""Methods that take the plain number."""
_MAYBE_ESCAPING = ("__index__", "__str__", "__repr__", "__format__")
"""Methods that code often calls on attributes that no plan sets."""


def _methods(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _escaping(name, kind, mark_escaped) for name in _ESCAPING if hasattr(kind, name)
    }
    found |= {
        name: _escaping(name, kind, mark_maybe_escaped) for name in _MAYBE_ESCAPING if hasattr(kind, name)
    }
    for name, plain_op in _OPERATORS.items():
        found[f"__{name}__"] = _binary(name, plain_op, mirrored=False)
        found[f"__r{name}__"] = _binary(name, plain_op, mirrored=True)
    for name in _COMPARISONS:
        found[f"__{name}__"] = _compare(name, getattr(operator, name))
    return found | {
        "__divmod__": _divmod,
        "__rdivmod__": lambda self, other: _divmod(other, self),
        "__neg__": lambda self: tracked_result(-value_of(self), "neg", self),
        "__pos__": lambda self: self,
        "__bool__": _is_nonzero,
        "__floor__": _floor,
        "__ceil__": _ceil,
        "__array__": _array,
        "__sym_max__": max,
        "__sym_min__": min,
        "__sym_float__": lambda self: self * 1.0,
        "__sym_int__": lambda self: math.floor(self) if self >= 0 else math.ceil(self),
        "conjugate": lambda self: self,
        "real": property(lambda self: self),
        "imag": property(lambda _: kind(0)),
        "numerator": property(lambda self: self),
        "denominator": property(lambda _: 1),
        "__copy__": lambda self: self,
        "__deepcopy__": lambda self, _: self,
        # A pickle is plain, since the origin names a tensor of this run.
        "__reduce_ex__": lambda self, _: (kind, (_escaped(self),)),
    }


for _kind, _plain_kind in ((TrackedInt, int), (TrackedFloat, float)):
    for _name, _method in _methods(_plain_kind).items():
        setattr(_kind, _name, _method)
