"""Plans how a checkpoint is loaded into an optimizer: which slices to read, and where they go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from planc.ir.tree import TreePath, get_at, map_leaves, map_leaves_with_paths, with_dicts
from planc.torch.checkpoints.param_names import optimizer_params, strip_wrappers
from planc.torch.checkpoints.read_target import ReadTarget, replicated_target, target_like
from planc.torch.checkpoints.reader import TensorEntry
from planc.torch.weights.tensor_exprs import SliceRequest

_IMPLEMENTATION_SETTINGS = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Settings of groups that choose an implementation, and do not change what a step computes."""


@dataclass(frozen=True)
class OptimizerLoadPlan:
    """The state of an optimizer, and what does not fit."""

    optimizer: Optimizer
    state: dict[int, Any] = field(default_factory=dict)
    """By the number of the parameter; a `ReadTarget` stands for a tensor that is read."""
    param_groups: list[dict[str, Any]] = field(default_factory=list)
    requests: list[SliceRequest] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)

    def load(self) -> None:
        """Load the state into the optimizer, once everything is read. All ranks call this."""
        tree = {"state": self.state, "param_groups": self.param_groups}
        self.optimizer.load_state_dict(
            map_leaves(tree, (ReadTarget, _ScalarTarget), _materialize, combine=with_dicts)
        )

    def add_request(self, target: ReadTarget) -> ReadTarget:
        """Have a tensor read."""
        self.requests.append(target.read_request)
        return target


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
    """Match a saved state with an optimizer; nothing is read or changed yet.

    Parameters are matched by name, or, where a file has numbers, by their order, as torch does.

    Args:
        key: the key of the state in the checkpoint, for messages.
        saved: `state` and `param_groups`.
        optimizer: the optimizer.
        names: all names of each of its parameters, in its order.
        mismatched_names: names of parameters whose weights do not fit, so that their states do not either.
    """
    plan = OptimizerLoadPlan(optimizer)
    groups: list[dict[str, Any]] = list(saved.get("param_groups", ()))
    states: Mapping[Any, Any] = saved.get("state", {})
    saved_ids = _saved_ids(key, groups, names, plan.mismatches)
    group_of = {saved_id: group for group in groups for saved_id in group["params"]}
    plan.mismatches.extend(
        f"'{key}' has a state '{saved_id}' of no parameter" for saved_id in states if saved_id not in group_of
    )
    for number, (saved_id, param) in enumerate(zip(saved_ids, optimizer_params(optimizer))):
        if saved_id is None or saved_id not in states or not mismatched_names.isdisjoint(names[number]):
            continue
        before = optimizer.state.get(param, {})
        wrong = list(_shape_mismatches(states[saved_id], before, f"'{key}': of '{names[number][0]}'"))
        plan.mismatches.extend(wrong)
        if not wrong:
            plan.state[number] = _plan_state(states[saved_id], before, param, plan)
    start = 0
    for index, group in enumerate(optimizer.param_groups):
        numbers = list(range(start, start + len(group["params"])))
        start += len(numbers)
        # A group without parameters has no saved ids: it is matched by its position.
        default = groups[index] if index < len(groups) and not numbers else {}
        source = next((group_of[saved_ids[n]] for n in numbers if saved_ids[n] is not None), default)
        plan.param_groups.append({**_settings(group, source, plan), "params": numbers})
    return plan


def _saved_ids(
    key: str, groups: list[dict[str, Any]], names: list[tuple[str, ...]], mismatches: list[str]
) -> list[Any]:
    """The checkpoint's id of each parameter of the optimizer, a name or a number; None: it has none."""
    ids = [saved_id for group in groups for saved_id in group["params"]]
    if not all(isinstance(saved_id, str) for saved_id in ids):
        if len(ids) != len(names):
            mismatches.append(f"'{key}' has {len(ids)} parameters there, and {len(names)} in the optimizer")
            return [None] * len(names)
        return ids
    id_by_name = {strip_wrappers(saved_id): saved_id for saved_id in ids}
    found = [next((id_by_name[name] for name in tied if name in id_by_name), None) for tied in names]
    current = {name for tied in names for name in tied}
    mismatches += [f"'{key}' has no '{tied[0]}'" for tied, saved_id in zip(names, found) if saved_id is None]
    mismatches += [
        f"'{key}' has '{name}', and the optimizer does not" for name in id_by_name if name not in current
    ]
    return found


def _shape_mismatches(saved: Any, before: Any, what: str) -> Iterator[str]:
    """Tensors that have another shape in the optimizer already."""
    for name, entry in saved.items() if isinstance(saved, Mapping) else ():
        own = before.get(name)
        if isinstance(entry, TensorEntry) and isinstance(own, Tensor) and tuple(own.shape) != entry.shape:
            yield f"{what}, '{name}' is {entry.shape} there, and {tuple(own.shape)} in the optimizer"


def _plan_state(saved: Any, before: Any, param: Tensor, plan: OptimizerLoadPlan) -> Any:
    """The state of one parameter, with a target for each tensor."""

    def target(path: TreePath, entry: TensorEntry) -> Any:
        return plan.add_request(_target_for(entry, get_at(before, path, into=(Mapping,)), param))

    return map_leaves_with_paths(saved, TensorEntry, target)


def _target_for(entry: TensorEntry, before: Any, param: Tensor) -> ReadTarget:
    """Sharded as the optimizer's tensor was; else as the parameter, if it has its shape; else replicated."""
    if isinstance(before, Tensor):
        return target_like(entry, before)
    if tuple(param.shape) == entry.shape:
        return target_like(entry, param)
    if not entry.shape:
        return target_like(entry, None)
    return replicated_target(entry, param) if isinstance(param, DTensor) else target_like(entry, param)


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
        target = plan.add_request(target_like(saved, own))
        return target if own is None or isinstance(own, Tensor) else _ScalarTarget(target)
    if isinstance(own, Tensor) and isinstance(saved, int | float):
        return torch.full_like(own, saved)
    return saved
