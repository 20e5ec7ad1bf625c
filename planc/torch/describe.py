"""Says arguments as a graph keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import Number, Other, Slice, Value, Weight
from planc.torch.numbers import TrackedInt, lose, numbers_in, type_of_tracked
from planc.torch.taken import numel_of
from planc.torch.tensors import MAX_DEPTH, Ledger, parts_of, tensors_in
from planc.torch.tree import Frame, Step

MAX_CONSTANTS = 1000
"""Of a list; a longer one, such as a table of positions, is cut: no proof looks into it."""


class Describer:
    """Knows the tensors of a run, and where in it the code is."""

    def __init__(self, model: nn.Module, beside: Mapping[int, Tensor]) -> None:
        self.ledger, self.beside = Ledger(model), beside
        """Of tensors that modules hold beside their parameters, the weights that they are."""
        self.frames: list[Frame] = []
        """The calls that run, outermost first."""

    def note(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A use of a number."""
        if self.frames:
            self.frames[-1].steps.append(Step(name, arguments, {}, []))

    def lose(self, tensors: Iterable[Tensor], arguments: Any) -> None:
        """Note that the sizes of tensors, and numbers in arguments, are taken out of sight."""
        for tensor in tensors:
            if numel_of(tensor) != 1:
                self.note("number.lost", (self.numel_of(tensor),))
        for number in numbers_in(arguments):
            lose(number)

    def numel(self, tensor: Tensor) -> TrackedInt:
        """How many numbers a tensor has, with its origin."""
        return TrackedInt(numel_of(tensor), self.numel_of(tensor), self)

    def numel_of(self, tensor: Tensor) -> Number:
        return Number("numel", (self.said(tensor),), numel_of(tensor))

    # ---- arguments -------------------------------------------------------------

    def said(self, item: Any, depth: int = 0) -> Any:
        """An argument as a graph keeps it, with numbers of the run and whole names."""
        if isinstance(item, Tensor):
            return self._tensor(item)
        if isinstance(item, type_of_tracked):
            return item.source
        if item is None or isinstance(item, bool | int | float | str):
            return item if type(item) in (bool, int, float, str, type(None)) else _constant(item)
        if isinstance(item, slice):
            return Slice(*(self.said(part) for part in (item.start, item.stop, item.step)))
        if depth > MAX_DEPTH:
            self.lose((), item)
            return Other(type(item).__name__)
        if isinstance(item, list | tuple):
            if len(item) > MAX_CONSTANTS and not any(tensors_in(item)):
                self.lose((), item)
                return Other(f"{len(item)} constants")
            return tuple([self.said(part, depth + 1) for part in item])
        if (parts := parts_of(item)) is not None:
            return {key: self.said(value, depth + 1) for key, value in parts.items()}
        return _constant(item)

    def _tensor(self, tensor: Tensor) -> Value | Weight:
        if (number := self.ledger.number(tensor)) is not None:
            return Value(number)
        if name := self.ledger.weight(tensor):
            return Weight(name)
        if not self.frames:
            return Value(self.ledger.add(tensor, -1))
        # Made by something that no mode sees: a proof must not guess what it holds.
        frame = self.frames[-1]
        number = self.ledger.add(tensor, frame.number)
        weight = self.beside.get(id(tensor))
        said = () if weight is None else (self._tensor(weight),)
        frame.steps.append(Step("opaque", said, {}, [number]))
        return Value(number)


def _constant(item: Any) -> Any:
    """A constant that is no text and no list; never an address."""
    if isinstance(item, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return Other(str(item).removeprefix("torch."))
    if isinstance(item, str | int | float):  # an enumeration
        return next(kind(item) for kind in (str, int, float) if isinstance(item, kind))
    return Other("..." if item is Ellipsis else type(item).__name__)
