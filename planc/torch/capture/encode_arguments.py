"""Encodes arguments of the running model as a graph holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import Slice, SymNumber, TorchConstant, Value, WeightRef
from planc.ir.tree import children, transform
from planc.torch.capture.size_leaks import untracked_numel
from planc.torch.capture.source_lines import calling_line
from planc.torch.capture.tensor_table import MAX_DEPTH, RUNTIME_NODES, TensorTable, tensors_in
from planc.torch.capture.trace_records import CallRecord, OpRecord
from planc.torch.capture.tracked_arithmetic import TRACKED_TYPES, TrackedInt, mark_escaped, tracked_numbers

MAX_LISTED_CONSTANTS = 1000
"""The longest list that is kept. A longer one, such as a table of positions, is cut: no rule reads it."""


class ArgumentEncoder:
    """Knows the tensors of a run and the calls that are open. It is the log of uses of tracked numbers."""

    def __init__(self, model: nn.Module, weights_in_attributes: Mapping[int, Tensor]) -> None:
        """
        Args:
            model: the model that runs.
            weights_in_attributes: the weight of each tensor in a plain attribute that is one, by its identity.
        """
        self.table, self.weights_in_attributes = TensorTable(model), weights_in_attributes
        self.open_calls: list[CallRecord] = []
        """Calls of modules that have not returned, outermost first."""

    def record_use(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Record a use of a number."""
        if self.open_calls:
            self.open_calls[-1].steps.append(OpRecord(name, arguments, {}, [], line=calling_line()))

    def mark_escaped(self, tensors: Iterable[Tensor], arguments: Any) -> None:
        """Record that the sizes of tensors, and the numbers in arguments, escape."""
        for tensor in tensors:
            if untracked_numel(tensor) != 1:
                self.record_use("number.lost", (self.numel_origin(tensor),))
        for number in tracked_numbers(arguments):
            mark_escaped(number)

    def tracked_numel(self, tensor: Tensor) -> TrackedInt:
        """The number of elements of a tensor, tracked."""
        return TrackedInt(untracked_numel(tensor), self.numel_origin(tensor), self)

    def numel_origin(self, tensor: Tensor) -> SymNumber:
        """The number of elements of a tensor, as a graph holds it."""
        encoded = self.encode(tensor)
        return SymNumber("numel", (encoded, *self.size_reader(encoded)), untracked_numel(tensor))

    def size_reader(self, tensor: Value | WeightRef) -> tuple[str, ...]:
        """The module whose code reads the size of a weight: modules may find different sizes. Empty for other tensors."""
        return (self.open_calls[-1].module,) if isinstance(tensor, WeightRef) and self.open_calls else ()

    # ---- arguments -------------------------------------------------------------

    def encode(self, item: Any) -> Any:
        """An argument as a graph keeps it: tensors by their numbers in the run, weights by their full names."""
        return transform(item, self._encode_leaf, _encode_node, into=RUNTIME_NODES, is_leaf=_is_cut)

    def _encode_leaf(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            return self.encode_tensor(item)
        if isinstance(item, TRACKED_TYPES):
            return item.origin
        if not isinstance(item, RUNTIME_NODES):
            return _constant(item)
        self.mark_escaped((), item)
        if isinstance(item, list | tuple) and _is_long(item):
            return TorchConstant(f"{len(item)} constants")
        return TorchConstant(type(item).__name__)

    def encode_tensor(self, tensor: Tensor) -> Value | WeightRef:
        """A tensor by its number, or a weight by its name. A tensor that no operation has made becomes opaque."""
        if (number := self.table.number(tensor)) is not None:
            return Value(number)
        if name := self.table.weight(tensor):
            return WeightRef(name)
        if not self.open_calls:
            return Value(self.table.add(tensor, -1))
        # No mode saw what made it, so a proof must not guess its content.
        call = self.open_calls[-1]
        number = self.table.add(tensor, call.number)
        weight = self.weights_in_attributes.get(id(tensor))
        source = () if weight is None else (self.encode_tensor(weight),)
        call.steps.append(OpRecord("opaque", source, {}, [number]))
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
    """A constant as a graph holds it; never an address of memory."""
    if type(item) in (bool, int, float, str, type(None)):
        return item
    if isinstance(item, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return TorchConstant(str(item).removeprefix("torch."))
    if isinstance(item, str | int | float):  # a member of an enumeration
        return next(kind(item) for kind in (str, int, float) if isinstance(item, kind))
    return TorchConstant("..." if item is Ellipsis else type(item).__name__)
