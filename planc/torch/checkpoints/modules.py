"""What a checkpoint holds for a model, fitted to the model there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from planc.torch.checkpoints.names import at_rest, plain
from planc.torch.checkpoints.space import Space, like
from planc.torch.checkpoints.stored import Slot
from planc.torch.checkpoints.tree import mapped
from planc.torch.weights.targets import Target, local, targets
from planc.torch.weights.trees import Request


@dataclass(frozen=True)
class Weights:
    """What is read for a model, and what did not fit."""

    model: nn.Module
    requests: list[Request] = field(default_factory=list)
    hooked: dict[str, Any] = field(default_factory=dict)
    """What modules take by their own ways, such as extra states, by the names in their state dict."""
    faults: list[str] = field(default_factory=list)
    misfits: set[str] = field(default_factory=set)
    """Names of parameters that are not loaded."""

    def load(self) -> None:
        """Give modules what they take by their own ways, once all is read. All ranks must take part."""
        if self.hooked:
            self.model.load_state_dict(mapped(self.hooked, Space, lambda space: space.made()), strict=False)


def weights(model: nn.Module, saved: Mapping[str, Any]) -> Weights:
    """Fit what was saved to a model; nothing is read or changed yet. All ranks must take part.

    Args:
        model: split over any mesh, or not at all.
        saved: slots by name.
    """
    at_rest(model)
    with torch.no_grad():
        shown = {plain(name): (name, value) for name, value in model.state_dict().items()}
    there = {plain(name): value for name, value in saved.items()}
    found = Weights(model)
    own: set[str] = set()
    for target in targets(model):
        names = tuple(map(plain, target.names))
        own.update(names)
        if any(name in shown or name in there for name in names):
            faults = list(_target(target, names, there, found.requests))
            found.faults.extend(faults)
            found.misfits.update(names if faults else ())
    for name, value in there.items():
        if name in shown and name not in own:
            raw, before = shown[name]
            found.hooked[raw] = mapped(value, Slot, partial(_asked, before, found.requests))
        elif name not in own:
            found.faults.append(f"the model has no '{name}'")
    found.faults.extend(f"there is no '{name}'" for name in shown if name not in own and name not in there)
    return found


def _target(
    target: Target, names: tuple[str, ...], there: Mapping[str, Any], requests: list[Request]
) -> Iterator[str]:
    """Ask for a tensor, under one of its names. Yields why it cannot be loaded."""
    slot = next((there[name] for name in names if name in there), None)
    shape = tuple(target.tensor.shape)
    if not isinstance(slot, Slot):
        yield "there is no " + ", nor ".join(f"'{name}'" for name in names)
    elif slot.shape != shape:
        yield f"'{names[0]}' is {slot.shape} there, and {shape} in the model"
    elif local(target.tensor).is_meta:
        yield f"'{names[0]}' has no memory yet: planc.materialize gives it some"
    else:
        requests.extend(Request(slot.name, box, into) for box, into in target.pieces())


def _asked(before: Any, requests: list[Request], slot: Slot) -> Space:
    space = like(slot, before)
    requests.append(space.request)
    return space
