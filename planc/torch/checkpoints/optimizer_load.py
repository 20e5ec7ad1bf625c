"""What a checkpoint holds for an optimizer, fitted to the optimizer there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from planc.torch.checkpoints.param_names import optimizer_params, strip_wrappers
from planc.torch.checkpoints.read_target import ReadTarget, replicated_target, target_like
from planc.torch.checkpoints.reader import TensorEntry
from planc.torch.checkpoints.tree import map_leaves
from planc.torch.weights.tensor_exprs import SliceRequest

_IMPLEMENTATION_SETTINGS = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Settings that say how this run computes, and nothing of what."""


@dataclass(frozen=True)
class OptimizerLoadPlan:
    """A state for an optimizer, and what did not fit."""

    optimizer: Optimizer
    state: dict[int, Any] = field(default_factory=dict)
    """By the number of the parameter; with a `Space` where a tensor comes."""
    param_groups: list[dict[str, Any]] = field(default_factory=list)
    requests: list[SliceRequest] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)

    def load(self) -> None:
        """Give the optimizer its state, once all is read. All ranks must take part."""
        made = map_leaves(
            {"state": self.state, "param_groups": self.param_groups},
            (ReadTarget, _ScalarTarget),
            _materialize,
        )
        self.optimizer.load_state_dict(made)

    def request(self, space: ReadTarget) -> ReadTarget:
        """Have something read."""
        self.requests.append(space.read_request)
        return space


@dataclass(frozen=True)
class _ScalarTarget:
    """A number that was saved as a tensor."""

    target: ReadTarget


def _materialize(leaf: ReadTarget | _ScalarTarget) -> Any:
    return leaf.to_tensor() if isinstance(leaf, ReadTarget) else leaf.target.to_tensor().item()


def plan_optimizer_load(
    key: str,
    saved: Mapping[str, Any],
    optimizer: Optimizer,
    names: list[tuple[str, ...]],
    mismatched_names: AbstractSet[str] = frozenset(),
) -> OptimizerLoadPlan:
    """Fit what was saved to an optimizer; nothing is read or changed yet.

    Parameters are known by their names, or, where a file has numbers, by their places: as torch does.

    Args:
        key: what the state is called in the checkpoint, for messages.
        saved: `state` and `param_groups`.
        optimizer: the optimizer.
        names: all names of each of its parameters, in its order.
        misfits: names of parameters whose weights do not fit, so that their states do not either.
    """
    found = OptimizerLoadPlan(optimizer)
    groups: list[dict[str, Any]] = list(saved.get("param_groups", ()))
    held: Mapping[Any, Any] = saved.get("state", {})
    ids = _saved_ids(key, groups, names, found.mismatches)
    home = {own: group for group in groups for own in group["params"]}
    found.mismatches.extend(f"'{key}' has a state '{own}' of no parameter" for own in held if own not in home)
    for number, (own, parameter) in enumerate(zip(ids, optimizer_params(optimizer))):
        if own is None or own not in held or not mismatched_names.isdisjoint(names[number]):
            continue
        before = optimizer.state.get(parameter, {})
        wrong = list(_shape_mismatches(held[own], before, f"'{key}': of '{names[number][0]}'"))
        found.mismatches.extend(wrong)
        if not wrong:
            found.state[number] = _plan_state(held[own], before, parameter, found)
    start = 0
    for place, group in enumerate(optimizer.param_groups):
        numbers = list(range(start, start + len(group["params"])))
        start += len(numbers)
        empty = groups[place] if place < len(groups) and not numbers else {}
        source = next((home[ids[n]] for n in numbers if ids[n] is not None), empty)
        found.param_groups.append({**_settings(group, source, found), "params": numbers})
    return found


def _saved_ids(
    key: str, groups: list[dict[str, Any]], names: list[tuple[str, ...]], mismatches: list[str]
) -> list[Any]:
    """What the checkpoint calls each parameter of the optimizer; None: it has none of it."""
    listed = [own for group in groups for own in group["params"]]
    if not all(isinstance(own, str) for own in listed):
        if len(listed) != len(names):
            mismatches.append(
                f"'{key}' has {len(listed)} parameters there, and {len(names)} in the optimizer"
            )
            return [None] * len(names)
        return listed
    there = {strip_wrappers(own): own for own in listed}
    ids = [next((there[name] for name in several if name in there), None) for several in names]
    mine = {name for several in names for name in several}
    mismatches += [f"'{key}' has no '{several[0]}'" for several, own in zip(names, ids) if own is None]
    mismatches += [f"'{key}' has '{name}', and the optimizer does not" for name in there if name not in mine]
    return ids


def _shape_mismatches(saved: Any, before: Any, what: str) -> Iterator[str]:
    """Tensors that have another shape already."""
    for name, slot in saved.items() if isinstance(saved, Mapping) else ():
        own = before.get(name)
        if isinstance(slot, TensorEntry) and isinstance(own, Tensor) and tuple(own.shape) != slot.shape:
            yield f"{what}, '{name}' is {slot.shape} there, and {tuple(own.shape)} in the optimizer"


def _plan_state(saved: Any, before: Any, parameter: Tensor, plan: OptimizerLoadPlan) -> Any:
    """What is held for one parameter, with room for its tensors."""
    if isinstance(saved, TensorEntry):
        return plan.request(_target_for(saved, before, parameter))
    if isinstance(saved, Mapping):
        inner = before if isinstance(before, Mapping) else {}
        return {name: _plan_state(value, inner.get(name), parameter, plan) for name, value in saved.items()}
    if isinstance(saved, list) or type(saved) is tuple:
        return type(saved)(_plan_state(value, None, parameter, plan) for value in saved)
    return saved


def _target_for(slot: TensorEntry, before: Any, parameter: Tensor) -> ReadTarget:
    """Laid out as it was before; else as the parameter, if it has its shape; else whole everywhere."""
    if isinstance(before, Tensor):
        return target_like(slot, before)
    if tuple(parameter.shape) == slot.shape:
        return target_like(slot, parameter)
    if not slot.shape:
        return target_like(slot, None)
    return (
        replicated_target(slot, parameter) if isinstance(parameter, DTensor) else target_like(slot, parameter)
    )


def _settings(own: Mapping[str, Any], saved: Mapping[str, Any], plan: OptimizerLoadPlan) -> dict[str, Any]:
    """A group's settings: the saved ones, and its own where there are none."""
    merged = {name: value for name, value in own.items() if name != "params"}
    for name, value in saved.items():
        if name != "params" and not (name in _IMPLEMENTATION_SETTINGS and name in own):
            merged[name] = _setting(value, own.get(name), plan)
    return merged


def _setting(saved: Any, own: Any, plan: OptimizerLoadPlan) -> Any:
    """A tensor where the optimizer has one, a number where it has one."""
    if isinstance(saved, TensorEntry):
        space = plan.request(target_like(saved, own))
        return space if own is None or isinstance(own, Tensor) else _ScalarTarget(space)
    if isinstance(own, Tensor) and isinstance(saved, int | float):
        return torch.full_like(own, saved)
    return saved
