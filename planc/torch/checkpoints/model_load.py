"""Plans how a checkpoint is loaded into a model: which slices to read, and where they go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from planc.ir.tree import map_leaves, with_dicts
from planc.torch.checkpoints.param_names import reshard_all, strip_wrappers
from planc.torch.checkpoints.read_target import ReadTarget, target_like
from planc.torch.checkpoints.reader import TensorEntry
from planc.torch.weights.load_targets import LoadTarget, detached_local, load_targets
from planc.torch.weights.tensor_exprs import SliceRequest


@dataclass(frozen=True)
class ModelLoadPlan:
    """What to read for a model, and what does not fit."""

    model: nn.Module
    requests: list[SliceRequest] = field(default_factory=list)
    extra_state: dict[str, Any] = field(default_factory=dict)
    """What modules load by their own methods, such as extra states, by the names in their state dict."""
    mismatches: list[str] = field(default_factory=list)
    mismatched_names: set[str] = field(default_factory=set)
    """Names of parameters that are not loaded."""

    def load(self) -> None:
        """Have modules load their extra states, once everything is read. All ranks call this."""
        if self.extra_state:
            state = map_leaves(
                self.extra_state, ReadTarget, lambda target: target.to_tensor(), combine=with_dicts
            )
            self.model.load_state_dict(state, strict=False)


def plan_model_load(model: nn.Module, saved: Mapping[str, Any]) -> ModelLoadPlan:
    """Match a saved state dict with a model; nothing is read or changed yet. All ranks call this.

    Args:
        model: split over any mesh, or not at all.
        saved: a `TensorEntry` for each tensor, by name.
    """
    reshard_all(model)
    with torch.no_grad():
        current = {strip_wrappers(name): (name, value) for name, value in model.state_dict().items()}
    saved = {strip_wrappers(name): value for name, value in saved.items()}
    plan = ModelLoadPlan(model)
    target_names: set[str] = set()
    for target in load_targets(model):
        names = tuple(map(strip_wrappers, target.names))
        target_names.update(names)
        if any(name in current or name in saved for name in names):
            mismatches = list(_plan_target(target, names, saved, plan.requests))
            plan.mismatches.extend(mismatches)
            plan.mismatched_names.update(names if mismatches else ())
    for name, value in saved.items():
        if name in target_names:
            continue
        if name in current:
            raw_name, before = current[name]
            plan.extra_state[raw_name] = map_leaves(
                value, TensorEntry, partial(_request_like, before, plan.requests), combine=with_dicts
            )
        else:
            plan.mismatches.append(f"the model has no '{name}'")
    missing = (name for name in current if name not in target_names and name not in saved)
    plan.mismatches.extend(f"there is no '{name}'" for name in missing)
    return plan


def _plan_target(
    target: LoadTarget, names: tuple[str, ...], saved: Mapping[str, Any], requests: list[SliceRequest]
) -> Iterator[str]:
    """Request a tensor, under one of its names. Yields why it cannot be loaded."""
    entry = next((saved[name] for name in names if name in saved), None)
    shape = tuple(target.tensor.shape)
    if not isinstance(entry, TensorEntry):
        yield "there is no " + ", nor ".join(f"'{name}'" for name in names)
    elif entry.shape != shape:
        yield f"'{names[0]}' is {entry.shape} there, and {shape} in the model"
    elif detached_local(target.tensor).is_meta:
        yield f"'{names[0]}' is still on the meta device: call planc.materialize first"
    else:
        requests.extend(SliceRequest(entry.name, bounds, dest) for bounds, dest in target.local_slices())


def _request_like(before: Any, requests: list[SliceRequest], entry: TensorEntry) -> ReadTarget:
    target = target_like(entry, before)
    requests.append(target.read_request)
    return target
