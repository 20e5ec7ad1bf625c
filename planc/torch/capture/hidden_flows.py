"""Calls that leave something behind for later code, or find something there, otherwise than by arguments and results.

Such a call may do something else when it runs again. Tensors show it, and lists, dictionaries and objects among the
arguments whose content changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import nodes, transform
from planc.torch.capture.tensor_table import RUNTIME_NODES
from planc.torch.capture.trace_records import CallRecord, OpRecord, TraceTensors, tensor_numbers
from planc.torch.capture.tracked_arithmetic import untrack

MAX_DEPTH = 4
"""Levels of containers and objects among the arguments that are compared."""
_CONSTANTS = (bool, int, float, str, type(None), torch.dtype, torch.device)


def hidden_flows(root: CallRecord, tensors: TraceTensors, changed_modules: Iterable[str]) -> list[CallRecord]:
    """The calls below that of the model that need a second look, in the order in which they began.

    Args:
        root: the call of the model.
        tensors: the tensors of the run.
        changed_modules: the modules in whose attributes the run has left something.
    """
    parents = {
        step.number: call for call in root.calls() for step in call.steps if isinstance(step, CallRecord)
    }
    calls = {call.number: call for call in root.calls()}
    found = {number for number, call in calls.items() if call.mutable_inputs != mutable_state(*call.passed)}
    found.update(_calls_around(root, set(changed_modules)))
    for call in calls.values():
        used = {*tensor_numbers(call.result)}
        for step in call.steps:
            if isinstance(step, OpRecord) and (step.name == "aliased" or (call is root and step.effect)):
                continue  # a buffer that the code has assigned, and views: the graph shows who reads them
            used.update(tensor_numbers((step.arguments, step.keywords)))
        for tensor in used:
            maker = tensors.made_by[tensor]
            found.update(_finders(call, tensor, maker, parents))
            if maker in calls and not calls[maker].contains_call(call.number):
                found.update(_leavers(calls[maker], tensor, call.number, parents))
    found.discard(root.number)
    return [call for number, call in calls.items() if number in found]


def _calls_around(call: CallRecord, modules: set[str]) -> list[int]:
    """The calls of some modules, and those around them."""
    if not modules:
        return []
    found = [n for step in call.steps if isinstance(step, CallRecord) for n in _calls_around(step, modules)]
    return [call.number, *found] if found or call.module in modules else []


def _finders(call: CallRecord, tensor: int, maker: int, parents: Mapping[int, CallRecord]) -> list[int]:
    """The calls around a use of a tensor, up to the one that made it, that did not get it from their callers."""
    found = []
    reader: CallRecord | None = call
    while reader is not None and not reader.contains_call(maker):
        if tensor not in reader.shared_inputs:
            found.append(reader.number)
        reader = parents.get(reader.number)
    return found


def _leavers(maker: CallRecord, tensor: int, user: int, parents: Mapping[int, CallRecord]) -> list[int]:
    """The calls around the making of a tensor, up to the one that uses it, that do not return it."""
    found = []
    writer: CallRecord | None = maker
    while writer is not None and not writer.contains_call(user):
        if tensor not in writer.shared_outputs:
            found.append(writer.number)
        writer = parents.get(writer.number)
    return found


def mutable_state(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """The content of the lists, dictionaries and objects among arguments, to compare; None: there are none."""
    given = (*arguments, *keywords.values())
    if not any(_may_change(part) for _, part in nodes(given, into=(tuple,))):
        return None
    return transform(
        given, _leaf_state, _node_state, into=RUNTIME_NODES, is_leaf=lambda _, depth: depth > MAX_DEPTH
    )


def _may_change(item: Any) -> bool:
    """Whether an argument, or a part of a tuple, is a list, a dictionary or an object that code can change."""
    is_constant = isinstance(item, (*_CONSTANTS, tuple)) or (callable(item) and not isinstance(item, Mapping))
    return not is_constant and not isinstance(item, Tensor)


def _leaf_state(item: Any) -> Any:
    if isinstance(item, Tensor):
        return id(item)
    if isinstance(item, _CONSTANTS):
        return untrack(item)
    if isinstance(item, nn.Module | type) or not hasattr(item, "__dict__"):
        return type(item).__name__
    return transform(
        vars(item),
        lambda part: id(part) if isinstance(part, Tensor) else _plain(part),
        _node_state,
        is_leaf=lambda _, depth: depth > MAX_DEPTH,
    )


def _plain(item: Any) -> Any:
    return untrack(item) if isinstance(item, _CONSTANTS) else type(item).__name__


def _node_state(node: Any, parts: list[Any]) -> Any:
    return (*node, *parts) if isinstance(node, Mapping) else tuple(parts)
