"""Says arguments as a graph keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import Slice, SymNumber, TorchConstant, Value, WeightRef
from planc.torch.capture.size_leaks import untracked_numel
from planc.torch.capture.tensor_table import MAX_DEPTH, TensorTable, named_parts, tensors_in
from planc.torch.capture.trace_records import ModuleCall, RecordedOp
from planc.torch.capture.tracked_arithmetic import TRACKED_TYPES, TrackedInt, mark_escaped, tracked_numbers

MAX_LISTED_CONSTANTS = 1000
"""Of a list; a longer one, such as a table of positions, is cut: no proof looks into it."""


class ArgumentEncoder:
    """Knows the tensors of a run, and where in it the code is."""

    def __init__(self, model: nn.Module, beside: Mapping[int, Tensor]) -> None:
        self.table, self.weights_in_attributes = TensorTable(model), beside
        """Of tensors that modules hold beside their parameters, the weights that they are."""
        self.frames: list[ModuleCall] = []
        """The calls that run, outermost first."""

    def note(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A use of a number."""
        if self.frames:
            self.frames[-1].steps.append(RecordedOp(name, arguments, {}, []))

    def mark_escaped(self, tensors: Iterable[Tensor], arguments: Any) -> None:
        """Note that the sizes of tensors, and numbers in arguments, are taken out of sight."""
        for tensor in tensors:
            if untracked_numel(tensor) != 1:
                self.note("number.lost", (self.numel_origin(tensor),))
        for number in tracked_numbers(arguments):
            mark_escaped(number)

    def tracked_numel(self, tensor: Tensor) -> TrackedInt:
        """How many numbers a tensor has, with its origin."""
        return TrackedInt(untracked_numel(tensor), self.numel_origin(tensor), self)

    def numel_origin(self, tensor: Tensor) -> SymNumber:
        return SymNumber("numel", (self.encode(tensor),), untracked_numel(tensor))

    # ---- arguments -------------------------------------------------------------

    def encode(self, item: Any, depth: int = 0) -> Any:
        """An argument as a graph keeps it, with numbers of the run and whole names."""
        if isinstance(item, Tensor):
            return self._tensor(item)
        if isinstance(item, TRACKED_TYPES):
            return item.source
        if item is None or isinstance(item, bool | int | float | str):
            return item if type(item) in (bool, int, float, str, type(None)) else _constant(item)
        if isinstance(item, slice):
            return Slice(*(self.encode(part) for part in (item.start, item.stop, item.step)))
        if depth > MAX_DEPTH:
            self.mark_escaped((), item)
            return TorchConstant(type(item).__name__)
        if isinstance(item, list | tuple):
            if len(item) > MAX_LISTED_CONSTANTS and not any(tensors_in(item)):
                self.mark_escaped((), item)
                return TorchConstant(f"{len(item)} constants")
            return tuple([self.encode(part, depth + 1) for part in item])
        if (parts := named_parts(item)) is not None:
            return {key: self.encode(value, depth + 1) for key, value in parts.items()}
        return _constant(item)

    def _tensor(self, tensor: Tensor) -> Value | WeightRef:
        if (number := self.table.number(tensor)) is not None:
            return Value(number)
        if name := self.table.weight(tensor):
            return WeightRef(name)
        if not self.frames:
            return Value(self.table.add(tensor, -1))
        # Made by something that no mode sees: a proof must not guess what it holds.
        frame = self.frames[-1]
        number = self.table.add(tensor, frame.number)
        weight = self.weights_in_attributes.get(id(tensor))
        said = () if weight is None else (self._tensor(weight),)
        frame.steps.append(RecordedOp("opaque", said, {}, [number]))
        return Value(number)


def _constant(item: Any) -> Any:
    """A constant that is no text and no list; never an address."""
    if isinstance(item, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return TorchConstant(str(item).removeprefix("torch."))
    if isinstance(item, str | int | float):  # an enumeration
        return next(kind(item) for kind in (str, int, float) if isinstance(item, kind))
    return TorchConstant("..." if item is Ellipsis else type(item).__name__)
