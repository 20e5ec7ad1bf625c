"""Numbers that the model's code read: their values in the whole model, and on a rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from planc.ir.graph import SymNumber, Value
from planc.ir.number_ops import NUMBER_OPS
from planc.ir.tree import leaves, nodes
from planc.proof.rules.operation import Operand, RankDependent
from planc.proof.types import UNKNOWN, NumberPart, NumberSource, sharded_dim


class NumberEvaluator:
    """Finds what a number of the model's code is on a rank.

    Args:
        operand: gives the tensor whose size a module reads; None: the module whose code uses the number.
        attribute: gives what a rank has for an attribute, by its name and its value in the whole model; None:
            ranks have different numbers.
        ranks: the size of the axis.
    """

    def __init__(
        self,
        operand: Callable[[Any, str | None], Operand],
        attribute: Callable[[str, int | float], int | float | None],
        ranks: int,
    ) -> None:
        self.operand, self.attribute, self.ranks = operand, attribute, ranks

    def evaluate(self, number: SymNumber) -> int | float | RankDependent:
        """The number itself where it is the same on every rank."""
        local, source = self._local(number)
        if local is not None and local == number.captured:
            return number.captured
        return RankDependent(number.captured, local, source, self._share(number), self._parts(number))

    def _parts(self, number: SymNumber) -> tuple[NumberPart, ...]:
        """The numbers that one is computed from, each once."""
        found: list[NumberPart] = []
        for _, part in nodes(number, into=(SymNumber,)):
            if not isinstance(part, SymNumber) or not (part.reads_size or part.op == "attribute"):
                continue
            local, source = self._local(part)
            if part is number or local is None or source is None:
                return ()
            found.append(NumberPart(source, part.captured, local))
        return tuple(dict.fromkeys(found))

    def _share(self, item: Any) -> int | None:
        """As `RankDependent.share`: it follows from the formula, not from the numbers of one capture."""
        if not isinstance(item, SymNumber) or item.op == "attribute" or item.reads_size:
            dim = (
                sharded_dim(self.operand(item.arguments[0], item.reader).type) if _reads_size(item) else None
            )
            if dim is not None and (item.op == "numel" or dim == _dim_read(item)):
                return -1
            return 0 if self._local(item)[0] == _captured(item) else None
        powers = [self._share(argument) for argument in item.arguments]
        if None in powers:
            return None
        if item.op in ("mul", "truediv", "neg"):
            first, *others = powers
            return first + sum(others) * (1 if item.op == "mul" else -1)  # type: ignore[operator, arg-type]
        # A sum, a remainder or a power of numbers of which each rank has its share is no share in general.
        return powers[0] if item.op in ("add", "sub") and powers[0] == powers[1] else None

    def _local(self, item: Any) -> tuple[Any, NumberSource | None]:
        """The number on a rank, None where that is not known, and where it comes from."""
        if not isinstance(item, SymNumber):
            return item, None
        if item.reads_size:
            return self._size(item)
        if item.op == "attribute":
            name = str(item.arguments[0])
            return self.attribute(name, item.captured), NumberSource("attribute", attribute=name)
        evaluated = [self._local(argument) for argument in item.arguments]
        values = [value for value, _ in evaluated]
        # Of several numbers, the first that differs between ranks is to blame.
        source = next((source for (value, source), argument in zip(evaluated, item.arguments, strict=True)
                       if source is not None and value != _captured(argument)), None)  # fmt: skip
        row = NUMBER_OPS.get(item.op)
        if row is None or None in values:
            return None, source
        try:
            return row.compute(*values), source
        except (ArithmeticError, TypeError, ValueError):
            return None, source

    def _size(self, item: SymNumber) -> tuple[int | None, NumberSource | None]:
        operand = self.operand(item.arguments[0], item.reader)
        if operand.type is UNKNOWN:
            return None, None
        shape = operand.local_shape(self.ranks)
        if item.op == "numel":
            return prod(shape), NumberSource("numel", operand.type)
        dim = _dim_read(item)
        return shape[dim], NumberSource("size", operand.type, dim)


def _reads_size(item: Any) -> bool:
    return isinstance(item, SymNumber) and item.reads_size


def _dim_read(item: SymNumber) -> int:
    return int(item.arguments[1]) if item.op == "size" else 0


def _captured(item: Any) -> Any:
    return item.captured if isinstance(item, SymNumber) else item


def tensors_with_sizes_read(numbers: Sequence[SymNumber]) -> list[int]:
    """The numbers of the tensors whose sizes these numbers are computed from."""
    return [value.number for value in leaves(numbers, Value, into=(list, tuple, SymNumber))]
