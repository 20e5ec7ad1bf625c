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

from planc.ir.graph import Weight
from planc.torch.numbers import plain
from planc.torch.recorder import Recorder
from planc.torch.tensors import info_of, tensors_in
from planc.torch.tree import Frame, Step, numbers

_TOLD = ("_parameters", "_buffers", "_modules", "training")
MAX_DEPTH = 4
"""How deep lists and dictionaries that modules hold are compared."""


def hooks_of(model: nn.Module) -> list[Step]:
    """The hooks on gradients of a model's parameters. To be asked before these are made fake."""
    names = {id(weight): name for name, weight in reversed(list(model.named_parameters()))}
    hooked = [weight for weight in model.parameters() if _has_hooks(weight)]
    return [Step("register_hook", (Weight(names[id(weight)]),), {}, [], effect=True) for weight in hooked]


def _has_hooks(weight: Tensor) -> bool:
    return bool(weight._backward_hooks) or bool(getattr(weight, "_post_accumulate_grad_hooks", None))


class Before:
    """What a model and the process have before a run, to be held against what they have after it."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.plain = model, _plain_state(model)
        self.weights = dict(_weights(model))
        self.random = _random_state()
        self.held = {id(tensor): tensor for tensor in _in_attributes(model)}

    def changes(self, recorder: Recorder) -> list[Step]:
        """What the next pass will find otherwise."""
        steps = [*self._assigned(recorder), *self._written(recorder)]
        now = _plain_state(self.model)
        if changed := [name for name, value in self.plain.items() if [now.get(name, value)] != [value]]:
            steps.append(_unknown("attribute.changed", *changed))
        if any(weight.grad is not None for weight in self.model.parameters()):
            steps.append(_unknown("backward"))
        if _random_state() != self.random:
            steps.append(_unknown("random"))
        return steps

    def _assigned(self, recorder: Recorder) -> Iterator[Step]:
        """Weights that are other tensors now: as if these had been copied into them."""
        after = dict(_weights(self.model))
        for place, weight in self.weights.items():
            new, name = after.get(place), recorder.ledger.weights[id(weight)]
            if new is weight:
                continue
            if isinstance(new, Tensor) and new.shape == weight.shape and not isinstance(weight, nn.Parameter):
                result = recorder.ledger.tensors.add(info_of(weight), 0)
                yield Step("copy_", (Weight(name), recorder.said_after(new)), {}, [result], effect=True)
            else:
                yield _unknown("weight.assigned", name)

    def _written(self, recorder: Recorder) -> Iterator[Step]:
        ledger = recorder.ledger
        for weight in {id(weight): weight for weight in self.weights.values()}.values():
            if ledger.is_moved(weight):
                yield _unknown("weight.written", ledger.weights[id(weight)])


def kept(recorder: Recorder, before: Before, again: Callable[[], object]) -> list[Step]:
    """What one pass leaves in attributes of modules, and the next one reads there. The model is run again
    where a pass has left a tensor.

    Args:
        again: runs the model once more.
    """
    first = recorder.root
    known = recorder.ledger.weights.keys() | before.held.keys()
    left = {recorder.ledger.number(t) for t in _in_attributes(before.model) if id(t) not in known} - {None}
    if first is None or not left:
        return []
    try:
        again()
        second = recorder.root
    except Exception:  # noqa: BLE001  # whatever it is, it is not what the first pass did
        second = None
        recorder.frames.clear()
    recorder.root = first
    return [_unknown("attribute.changed")] if second is None or left & set(_used(second)) else []


def _in_attributes(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        yield from tensors_in([value for key, value in module.__dict__.items() if key not in _TOLD])


def _used(frame: Frame) -> Iterator[int]:
    """The tensors that a call and those in it read."""
    yield from numbers((frame.arguments, frame.keywords, frame.result))
    for step in frame.steps:
        if isinstance(step, Frame):
            yield from _used(step)
        else:
            yield from numbers((step.arguments, step.keywords))


def _weights(model: nn.Module) -> Iterator[tuple[tuple[int, str], Tensor]]:
    for place, module in enumerate(model.modules()):
        kinds: Any = (module._parameters, module._buffers)
        for held in kinds:
            for name, tensor in held.items():
                if tensor is not None:
                    yield (place, name), tensor


def _plain_state(model: nn.Module) -> dict[str, Any]:
    """The numbers, texts and truths that modules hold, by name."""
    return {
        f"{name}.{key}" if name else key: _bare(value)
        for name, module in model.named_modules()
        for key, value in module.__dict__.items()
        if key not in _TOLD
    }


def _bare(value: Any, depth: int = 0) -> Any:
    """A value as it can be compared; what is no number and no text is left out."""
    value = plain(value)
    if isinstance(value, bool | int | float | str):
        return value
    if depth < MAX_DEPTH and isinstance(value, list | tuple):
        return [_bare(part, depth + 1) for part in value]
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {str(key): _bare(part, depth + 1) for key, part in value.items()}
    return None


def _random_state() -> tuple[Any, ...]:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    kind, keys, *rest = numpy.random.get_state()
    return random.getstate(), kind, keys.tobytes(), *rest


def _unknown(name: str, *about: str) -> Step:
    return Step(name, about, {}, [], effect=True)


# ---- while it runs -----------------------------------------------------------------


@contextmanager
def questions_told(recorder: Recorder) -> Iterator[None]:
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
