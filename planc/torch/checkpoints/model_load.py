"""What a checkpoint holds for a model, fitted to the model there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from planc.torch.checkpoints.param_names import reshard_all, strip_wrappers
from planc.torch.checkpoints.read_target import ReadTarget, target_like
from planc.torch.checkpoints.reader import TensorEntry
from planc.torch.checkpoints.tree import map_leaves
from planc.torch.weights.load_targets import LoadTarget, load_targets, local_tensor
from planc.torch.weights.tensor_exprs import SliceRequest


@dataclass(frozen=True)
class ModelLoadPlan:
    """What is read for a model, and what did not fit."""

    model: nn.Module
    requests: list[SliceRequest] = field(default_factory=list)
    extra_state: dict[str, Any] = field(default_factory=dict)
    """What modules take by their own ways, such as extra states, by the names in their state dict."""
    mismatches: list[str] = field(default_factory=list)
    mismatched_names: set[str] = field(default_factory=set)
    """Names of parameters that are not loaded."""

    def load(self) -> None:
        """Give modules what they take by their own ways, once all is read. All ranks must take part."""
        if self.extra_state:
            self.model.load_state_dict(
                map_leaves(self.extra_state, ReadTarget, lambda target: target.to_tensor()), strict=False
            )


def plan_model_load(model: nn.Module, saved: Mapping[str, Any]) -> ModelLoadPlan:
    """Fit what was saved to a model; nothing is read or changed yet. All ranks must take part.

    Args:
        model: split over any mesh, or not at all.
        saved: slots by name.
    """
    reshard_all(model)
    with torch.no_grad():
        shown = {strip_wrappers(name): (name, value) for name, value in model.state_dict().items()}
    there = {strip_wrappers(name): value for name, value in saved.items()}
    found = ModelLoadPlan(model)
    own: set[str] = set()
    for target in load_targets(model):
        names = tuple(map(strip_wrappers, target.names))
        own.update(names)
        if any(name in shown or name in there for name in names):
            faults = list(_plan_target(target, names, there, found.requests))
            found.mismatches.extend(faults)
            found.mismatched_names.update(names if faults else ())
    for name, value in there.items():
        if name in shown and name not in own:
            raw, before = shown[name]
            found.extra_state[raw] = map_leaves(
                value, TensorEntry, partial(_request_like, before, found.requests)
            )
        elif name not in own:
            found.mismatches.append(f"the model has no '{name}'")
    found.mismatches.extend(
        f"there is no '{name}'" for name in shown if name not in own and name not in there
    )
    return found


def _plan_target(
    target: LoadTarget, names: tuple[str, ...], there: Mapping[str, Any], requests: list[SliceRequest]
) -> Iterator[str]:
    """Ask for a tensor, under one of its names. Yields why it cannot be loaded."""
    slot = next((there[name] for name in names if name in there), None)
    shape = tuple(target.tensor.shape)
    if not isinstance(slot, TensorEntry):
        yield "there is no " + ", nor ".join(f"'{name}'" for name in names)
    elif slot.shape != shape:
        yield f"'{names[0]}' is {slot.shape} there, and {shape} in the model"
    elif local_tensor(target.tensor).is_meta:
        yield f"'{names[0]}' has no memory yet: planc.materialize gives it some"
    else:
        requests.extend(SliceRequest(slot.name, box, into) for box, into in target.local_slices())


def _request_like(before: Any, requests: list[SliceRequest], slot: TensorEntry) -> ReadTarget:
    space = target_like(slot, before)
    requests.append(space.read_request)
    return space
