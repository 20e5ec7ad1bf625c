"""Says arguments as a graph keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import Slice, SymNumber, TorchConstant, Value, WeightRef
from planc.ir.tree import children, fold
from planc.torch.capture.size_leaks import untracked_numel
from planc.torch.capture.tensor_table import MAX_DEPTH, RUNTIME_NODES, TensorTable, tensors_in
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

    def encode(self, item: Any) -> Any:
        """An argument as a graph keeps it: tensors by their numbers in the run, weights by their full names."""
        return fold(item, self._encode_leaf, _encode_node, into=RUNTIME_NODES, is_leaf=_is_cut)

    def _encode_leaf(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            return self._tensor(item)
        if isinstance(item, TRACKED_TYPES):
            return item.source
        if not isinstance(item, RUNTIME_NODES):
            return _constant(item)
        self.mark_escaped((), item)
        if isinstance(item, list | tuple) and _is_long(item):
            return TorchConstant(f"{len(item)} constants")
        return TorchConstant(type(item).__name__)

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


def _encode_node(node: Any, parts: list[Any]) -> Any:
    if isinstance(node, slice):
        return Slice(*parts)
    if isinstance(node, list | tuple):
        return tuple(parts)
    return {str(key): part for (key, _), part in zip(children(node), parts, strict=True)}


def _is_cut(node: Any, depth: int) -> bool:
    """Whether a graph does not keep the parts of a container."""
    return depth > MAX_DEPTH or (isinstance(node, list | tuple) and _is_long(node))


def _is_long(items: Sequence[Any]) -> bool:
    return len(items) > MAX_LISTED_CONSTANTS and not tensors_in(items)


def _constant(item: Any) -> Any:
    """A constant that no container holds; never an address."""
    if type(item) in (bool, int, float, str, type(None)):
        return item
    if isinstance(item, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return TorchConstant(str(item).removeprefix("torch."))
    if isinstance(item, str | int | float):  # an enumeration
        return next(kind(item) for kind in (str, int, float) if isinstance(item, kind))
    return TorchConstant("..." if item is Ellipsis else type(item).__name__)
