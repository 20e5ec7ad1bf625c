"""What one operation of a captured model saves for the backward pass: its row says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Function, Op, Slice, SymNumber, TensorInfo, Value, WeightRef
from planc.ir.tree import map_leaves
from planc.proof.rules.catalog import find_op
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.saved_tensors import SavedTensor
from planc.proof.types import CONSTANT

WeightInfo = Callable[[str], TensorInfo | None]
"""Finds a parameter or a buffer by its name below the module that runs; None: there is none."""


def weight_finder(binding: Binding, bound: BoundModule) -> WeightInfo:
    """Finds parameters and buffers by their names below a module; a leading `/` means the model."""

    def find(name: str) -> TensorInfo | None:
        path, _, own_name = name.removeprefix("/").rpartition(".")
        owner = (binding.root if name.startswith("/") else bound).find_submodule(path)
        if owner is None:
            return None
        return owner.module.parameters.get(own_name) or owner.module.buffers.get(own_name)

    return find


def saved_tensors(function: Function, step: Op, weight: WeightInfo) -> tuple[SavedTensor, ...] | None:
    """The tensors that one operation saves, in their global shapes; None: that is not known.

    An operation whose results have no gradient saves nothing.
    """
    if not any(function.tensors[number].grad for number in step.results):
        return ()
    row = find_op(step.name)
    if row is None:
        return None
    operation = recorded_operation(function, step, weight)
    if operation.operands() and not any(operand.grad for operand in operation.operands()):
        return None
    try:
        return row.saves(operation)
    except (Unsupported, IndexError, KeyError, TypeError, ValueError, AttributeError):
        # A graph may be written by hand: arguments that the row cannot read.
        return None


def recorded_operation(function: Function, step: Op, weight: WeightInfo) -> Operation:
    """The call as rules see it, on one rank: the numbers are those of the captured run."""

    def argument(item: Any) -> Any:
        return map_leaves(item, (Value, WeightRef, SymNumber), leaf, into=(tuple, Slice))

    def leaf(item: Value | WeightRef | SymNumber) -> Any:
        if isinstance(item, Value):
            return _operand(function.tensors[item.number], item)
        if isinstance(item, WeightRef):
            return _operand(weight(item.name) or TensorInfo((), "float32", True), item)
        return item.captured

    results = tuple(function.tensors[number] for number in step.results)
    keywords = {name: argument(item) for name, item in step.keywords.items()}
    return Operation(step.name, tuple(argument(item) for item in step.arguments), keywords, results, 1)


def _operand(info: TensorInfo, origin: Value | WeightRef) -> Operand:
    return Operand(CONSTANT, info.shape, info.grad, info.dtype, origin)
