"""What a recorder cannot follow, and can notice: hooks on gradients, changes that last beyond the run, and
questions whose answers differ between runs. Each is a step that no rule knows, so that nothing is proved over it."""

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
from planc.ir.tree import fold
from planc.torch.capture.recorder import Recorder
from planc.torch.capture.tensor_table import tensor_info, tensors_in
from planc.torch.capture.trace_records import ModuleCall, RecordedOp, tensor_numbers
from planc.torch.capture.tracked_arithmetic import untrack
from planc.torch.compat import MODULE_TABLES, has_grad_hooks, own_buffers, own_parameters

_TOLD = (*MODULE_TABLES, "training")
MAX_DEPTH = 4
"""How deep lists and dictionaries that modules hold are compared."""


def gradient_hooks(model: nn.Module) -> list[RecordedOp]:
    """The hooks on gradients of a model's parameters. To be asked before these are made fake."""
    names = {id(weight): name for name, weight in reversed(list(model.named_parameters()))}
    hooked = [weight for weight in model.parameters() if _has_hooks(weight)]
    return [
        RecordedOp("register_hook", (WeightRef(names[id(weight)]),), {}, [], effect=True) for weight in hooked
    ]


def _has_hooks(weight: Tensor) -> bool:
    return has_grad_hooks(weight)


class StateSnapshot:
    """What a model and the process have before a run, to be held against what they have after it."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.plain_state = model, _plain_state(model)
        self.weights = dict(_weights(model))
        self.random_state = _random_state()
        self.attribute_tensors = {id(tensor): tensor for tensor in _in_attributes(model)}

    def changes_since(self, recorder: Recorder) -> list[RecordedOp]:
        """What the next pass will find otherwise."""
        steps = [*self._assigned(recorder), *self._written(recorder)]
        now = _plain_state(self.model)
        if changed := [name for name, value in self.plain_state.items() if [now.get(name, value)] != [value]]:
            steps.append(_unknown("attribute.changed", *changed))
        if any(weight.grad is not None for weight in self.model.parameters()):
            steps.append(_unknown("backward"))
        if _random_state() != self.random_state:
            steps.append(_unknown("random"))
        return steps

    def _assigned(self, recorder: Recorder) -> Iterator[RecordedOp]:
        """Weights that are other tensors now: as if these had been copied into them."""
        after = dict(_weights(self.model))
        for place, weight in self.weights.items():
            new, name = after.get(place), recorder.table.weights[id(weight)]
            if new is weight:
                continue
            if isinstance(new, Tensor) and new.shape == weight.shape and not isinstance(weight, nn.Parameter):
                result = recorder.table.tensors.add(tensor_info(weight), 0)
                yield RecordedOp(
                    "copy_", (WeightRef(name), recorder.encode_after_run(new)), {}, [result], effect=True
                )
            else:
                yield _unknown("weight.assigned", name)

    def _written(self, recorder: Recorder) -> Iterator[RecordedOp]:
        ledger = recorder.table
        for weight in {id(weight): weight for weight in self.weights.values()}.values():
            if ledger.was_mutated(weight):
                yield _unknown("weight.written", ledger.weights[id(weight)])


def state_read_by_next_pass(
    recorder: Recorder, snapshot: StateSnapshot, run_again: Callable[[], object]
) -> list[RecordedOp]:
    """What one pass leaves in attributes of modules, and the next one reads there. The model is run again
    where a pass has left a tensor.

    Args:
        again: runs the model once more.
    """
    first = recorder.root
    known = recorder.table.weights.keys() | snapshot.attribute_tensors.keys()
    left = {recorder.table.number(t) for t in _in_attributes(snapshot.model) if id(t) not in known} - {None}
    if first is None or not left:
        return []
    try:
        run_again()
        second = recorder.root
    except Exception:  # noqa: BLE001  # whatever it is, it is not what the first pass did
        second = None
        recorder.frames.clear()
    recorder.root = first
    return [_unknown("attribute.changed")] if second is None or left & set(_used(second)) else []


def _in_attributes(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        yield from tensors_in([value for key, value in module.__dict__.items() if key not in _TOLD])


def _used(root: ModuleCall) -> Iterator[int]:
    """The tensors that a call and those in it read."""
    for call in root.calls():
        yield from tensor_numbers((call.arguments, call.keywords, call.result))
        for step in call.steps:
            yield from tensor_numbers((step.arguments, step.keywords))


def _weights(model: nn.Module) -> Iterator[tuple[tuple[int, str], Tensor]]:
    for place, module in enumerate(model.modules()):
        kinds: Any = (own_parameters(module), own_buffers(module))
        for held in kinds:
            for name, tensor in held.items():
                if tensor is not None:
                    yield (place, name), tensor


def _plain_state(model: nn.Module) -> dict[str, Any]:
    """The numbers, texts and truths that modules hold, by name."""
    return {
        f"{name}.{key}" if name else key: _comparable(value)
        for name, module in model.named_modules()
        for key, value in module.__dict__.items()
        if key not in _TOLD
    }


def _comparable(value: Any) -> Any:
    """A value as it can be compared; what is neither a number nor a text becomes None."""
    return fold(
        untrack(value), _comparable_leaf, _comparable_node, is_leaf=lambda _, depth: depth >= MAX_DEPTH
    )


def _comparable_leaf(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else None


def _comparable_node(node: Any, parts: list[Any]) -> Any:
    return (
        {str(key): part for key, part in zip(node, parts, strict=True)}
        if isinstance(node, Mapping)
        else parts
    )


def _random_state() -> tuple[Any, ...]:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    kind, keys, *rest = numpy.random.get_state()
    return random.getstate(), kind, keys.tobytes(), *rest


def _unknown(name: str, *about: str) -> RecordedOp:
    return RecordedOp(name, about, {}, [], effect=True)


# ---- while it runs -----------------------------------------------------------------


@contextmanager
def record_environment_queries(recorder: Recorder) -> Iterator[None]:
    """Write down where code asks for the process group, which is there in a split run alone, and where it
    changes what a backward pass finds."""

    def tell(name: str) -> None:
        if recorder.is_listening:
            recorder.frames[-1].steps.append(_unknown(name))

    enter: Any = saved_tensors_hooks.__enter__

    def entered(self: Any) -> Any:
        # Recomputing brings back the same numbers: torch's own hooks do.
        if type(self) is saved_tensors_hooks or not type(self).__module__.startswith("torch."):
            tell("saved_tensors_hooks")
        return enter(self)

    hooks: Any = saved_tensors_hooks
    hooks.__enter__ = entered
    try:
        with _group_told(tell):
            yield
    finally:
        hooks.__enter__ = enter


@contextmanager
def _group_told(tell: Any) -> Iterator[None]:
    if not torch.distributed.is_available():
        yield
        return
    kind: Any = type(torch.distributed.GroupMember)
    original = kind.WORLD

    def world(cls: Any) -> Any:
        tell("torch.distributed")
        return original.fget(cls)

    kind.WORLD = property(world, original.fset)
    try:
        yield
    finally:
        kind.WORLD = original
