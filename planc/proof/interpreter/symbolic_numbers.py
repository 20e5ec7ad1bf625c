"""Numbers that the model's code read: what they are in the whole model, and on a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from operator import add, eq, floordiv, ge, gt, le, lt, mod, mul, ne, neg, sub, truediv
from typing import Any

from planc.ir.graph import Slice, SymNumber, Value
from planc.proof.rules.operation import Operand, RankDependent
from planc.proof.types import UNKNOWN

_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "add": add, "sub": sub, "mul": mul, "floordiv": floordiv, "truediv": truediv, "mod": mod,
    "pow": lambda base, power: base**power if abs(power) <= 64 and abs(base) < 1 << 64 else None, "neg": neg,
}  # fmt: skip
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": lt, "le": le, "gt": gt, "ge": ge, "eq": eq, "ne": ne,
}  # fmt: skip


class Reader:
    """Finds what a number is on a rank."""

    def __init__(
        self,
        operand: Callable[[Any], Operand],
        attribute: Callable[[str, int | float], int | float],
        ranks: int,
    ) -> None:
        self.operand, self.attribute, self.ranks = operand, attribute, ranks
        """How operands are found, and what a rank has for an attribute, by its name and whole value."""

    def number(self, number: SymNumber) -> int | float | RankDependent:
        """The number itself where it is the same on every rank."""
        local, text = self._local(number)
        if local is not None and local == number.captured:
            return number.captured
        return RankDependent(number.captured, local, text)

    def _local(self, item: Any) -> tuple[Any, str]:
        """The number on a rank, None where that is not known, and where it comes from."""
        if not isinstance(item, SymNumber):
            return item, ""
        if item.op in ("size", "numel", "len"):
            return self._read(item)
        if item.op == "attribute":
            name = str(item.arguments[0])
            return self.attribute(name, item.captured), f"the attribute {name}"
        found = [self._local(argument) for argument in item.arguments]
        values = [value for value, _ in found]
        text = next((said for (value, said), whole in zip(found, item.arguments, strict=True)
                     if said and value != _captured(whole)), "")  # fmt: skip
        compute = _ARITHMETIC.get(item.op)
        if compute is None or None in values:
            return None, text
        try:
            return compute(*values), text
        except (ArithmeticError, TypeError, ValueError):
            return None, text

    def _read(self, item: SymNumber) -> tuple[int | None, str]:
        operand = self.operand(item.arguments[0])
        if operand.type is UNKNOWN:
            return None, ""
        shape = operand.local_shape(self.ranks)
        if item.op == "numel":
            return prod(shape), f"the number of elements of a value that is {operand.type}"
        dim = int(item.arguments[1]) if item.op == "size" else 0
        return shape[dim], f"the size of dim {dim} of a value that is {operand.type}"


def _captured(item: Any) -> Any:
    return item.captured if isinstance(item, SymNumber) else item


def read_off(item: Any) -> Iterator[Value]:
    """The tensors whose sizes stand in an argument."""
    if isinstance(item, SymNumber):
        yield from (part for part in item.arguments if isinstance(part, Value))
        yield from read_off(tuple(part for part in item.arguments if isinstance(part, SymNumber)))
    elif isinstance(item, Slice):
        yield from read_off((item.start, item.stop, item.step))
    elif isinstance(item, tuple):
        for part in item:
            yield from read_off(part)
