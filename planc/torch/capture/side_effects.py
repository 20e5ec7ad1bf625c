"""Effects of a run that the recorder cannot follow but can notice.

These are hooks on gradients, changes that outlast the run, and queries whose answers differ between runs. Each becomes
a step that has no rule, so that nothing is proved over it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from planc.ir.graph import WeightRef
from planc.ir.tree import transform
from planc.torch.capture.recorder import Recorder
from planc.torch.capture.tensor_table import tensor_info, tensors_in
from planc.torch.capture.trace_records import CallRecord, OpRecord, tensor_numbers
from planc.torch.capture.tracked_arithmetic import untrack
from planc.torch.compat import MODULE_TABLES, has_grad_hooks, own_buffers, own_parameters
from planc.torch.models.record_fields import is_record, record_fields

_FOLLOWED = (*MODULE_TABLES, "training")
"""What `module.__dict__` holds besides plain attributes."""
_COMPARED = (bool, int, float, str)
_MISSING = object()
MAX_DEPTH = 4
"""Levels of lists and dictionaries in attributes of modules that are compared."""


def gradient_hooks(model: nn.Module) -> list[OpRecord]:
    """The hooks on gradients of a model's parameters. Call this before the parameters become fake."""
    names = {id(weight): name for name, weight in reversed(list(model.named_parameters()))}
    hooked = [WeightRef(names[id(weight)]) for weight in model.parameters() if has_grad_hooks(weight)]
    return [OpRecord("register_hook", (weight,), {}, [], effect=True) for weight in hooked]


class StateSnapshot:
    """The state of a model and of the process before a run, to compare with the state after it."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.plain_state = model, _plain_state(model)
        self.weights = dict(_weights(model))
        self.random_state = _random_state()
        self.changed_modules: set[str] = set()
        """The modules that have other plain attributes after the run, or new ones."""
        self.attribute_tensors = {id(tensor): tensor for tensor in _attribute_tensors(model)}

    def changes_since(self, recorder: Recorder) -> list[OpRecord]:
        """The changes that the next pass will meet."""
        steps = [*self._assigned_weights(recorder), *self._mutated_weights(recorder)]
        now = _plain_state(self.model)
        self.changed_modules = {
            name.rpartition(".")[0]
            for name in (*self.plain_state, *now)
            if [self.plain_state.get(name, _MISSING)] != [now.get(name, _MISSING)]
        }
        if changed := [name for name, value in self.plain_state.items() if [now.get(name, value)] != [value]]:
            steps.append(_without_rule("attribute.changed", *changed))
        if any(weight.grad is not None for weight in self.model.parameters()):
            steps.append(_without_rule("backward"))
        if _random_state() != self.random_state:
            steps.append(_without_rule("random"))
        return steps

    def _assigned_weights(self, recorder: Recorder) -> Iterator[OpRecord]:
        """Weights that are other tensors now, as if the code had copied these into them."""
        after = dict(_weights(self.model))
        for path, weight in self.weights.items():
            new, name = after.get(path), recorder.table.weights[id(weight)]
            if new is weight:
                continue
            if isinstance(new, Tensor) and new.shape == weight.shape and not isinstance(weight, nn.Parameter):
                result = recorder.table.tensors.add(tensor_info(weight), 0)
                arguments = (WeightRef(name), recorder.encode_after_run(new))
                yield OpRecord("copy_", arguments, {}, [result], effect=True)
            else:
                yield _without_rule("weight.assigned", name)

    def _mutated_weights(self, recorder: Recorder) -> Iterator[OpRecord]:
        table = recorder.table
        for weight in {id(weight): weight for weight in self.weights.values()}.values():
            if table.was_mutated(weight):
                yield _without_rule("weight.written", table.weights[id(weight)])


def state_read_by_next_pass(
    recorder: Recorder, snapshot: StateSnapshot, run_again: Callable[[], object]
) -> list[OpRecord]:
    """A step, if one pass leaves a tensor in an attribute of a module and the next pass reads it there.

    Args:
        recorder: has recorded the first pass.
        snapshot: the state before that.
        run_again: runs the model a second time; called only if the first pass has left a tensor.
    """
    first = recorder.root
    known = recorder.table.weights.keys() | snapshot.attribute_tensors.keys()
    new = [tensor for tensor in _attribute_tensors(snapshot.model) if id(tensor) not in known]
    left = {recorder.table.number(tensor) for tensor in new} - {None}
    if first is None or not left:
        return []
    try:
        run_again()
        second = recorder.root
    except Exception:  # noqa: BLE001  # whatever it is, the second pass does not do what the first did
        second = None
        recorder.open_calls.clear()
    recorder.root = first
    is_read = second is None or not left.isdisjoint(_tensors_read(second))
    return [_without_rule("attribute.changed")] if is_read else []


def _attribute_tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        yield from tensors_in([value for key, value in module.__dict__.items() if key not in _FOLLOWED])


def _tensors_read(root: CallRecord) -> Iterator[int]:
    """The tensors that a call and those inside read."""
    for call in root.calls():
        yield from tensor_numbers((call.arguments, call.keywords, call.result))
        for step in call.steps:
            yield from tensor_numbers((step.arguments, step.keywords))


def _weights(model: nn.Module) -> Iterator[tuple[tuple[int, str], Tensor]]:
    for index, module in enumerate(model.modules()):
        tables: Any = (own_parameters(module), own_buffers(module))
        for table in tables:
            for name, tensor in table.items():
                if tensor is not None:
                    yield (index, name), tensor


def _plain_state(model: nn.Module) -> dict[str, Any]:
    """The numbers, texts and booleans in attributes of modules, by name."""
    return {
        f"{name}.{key}" if name else key: _comparable(value)
        for name, module in model.named_modules()
        for key, value in module.__dict__.items()
        if key not in _FOLLOWED
    }


def _comparable(value: Any) -> Any:
    """A value without what cannot be compared: all but numbers, texts and booleans becomes None."""
    return transform(
        untrack(value), _comparable_leaf, _comparable_node, is_leaf=lambda _, depth: depth >= MAX_DEPTH
    )


def _comparable_leaf(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    fields = record_fields(value) if is_record(value) else None
    return {key: part for key, part in untrack(fields).items() if type(part) in _COMPARED} if fields else None


def _comparable_node(node: Any, parts: list[Any]) -> Any:
    if isinstance(node, Mapping):
        return {str(key): part for key, part in zip(node, parts, strict=True)}
    return parts


def _random_state() -> tuple[Any, ...]:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    kind, keys, *rest = numpy.random.get_state()
    return random.getstate(), kind, keys.tobytes(), *rest


def _without_rule(name: str, *about: str) -> OpRecord:
    return OpRecord(name, about, {}, [], effect=True)


# ---- during the run --------------------------------------------------------------------------


@contextmanager
def record_environment_queries(recorder: Recorder) -> Iterator[None]:
    """Record that code asks for the process group, which only a split run has, and that it changes what a backward
    pass finds."""

    def record(name: str) -> None:
        if recorder.is_listening:
            recorder.open_calls[-1].steps.append(_without_rule(name))

    hooks: Any = saved_tensors_hooks
    enter: Any = hooks.__enter__

    def recorded_enter(self: Any) -> Any:
        # The hooks of torch's own subclasses give back the same numbers: they recompute.
        if type(self) is saved_tensors_hooks or not type(self).__module__.startswith("torch."):
            record("saved_tensors_hooks")
        return enter(self)

    hooks.__enter__ = recorded_enter
    try:
        with _record_group_queries(record):
            yield
    finally:
        hooks.__enter__ = enter


@contextmanager
def _record_group_queries(record: Callable[[str], None]) -> Iterator[None]:
    if not torch.distributed.is_available():
        yield
        return
    group_member: Any = type(torch.distributed.GroupMember)
    original = group_member.WORLD

    def world(cls: Any) -> Any:
        record("torch.distributed")
        return original.fget(cls)

    group_member.WORLD = property(world, original.fset)
    try:
        yield
    finally:
        group_member.WORLD = original
