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

from planc.torch.checkpoints.names import parameters_of, plain
from planc.torch.checkpoints.space import Space, like, on_all
from planc.torch.checkpoints.stored import Slot
from planc.torch.checkpoints.tree import mapped
from planc.torch.weights.trees import Request

_HOW = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Settings that say how this run computes, and nothing of what."""


@dataclass(frozen=True)
class Fitted:
    """A state for an optimizer, and what did not fit."""

    optimizer: Optimizer
    state: dict[int, Any] = field(default_factory=dict)
    """By the number of the parameter; with a `Space` where a tensor comes."""
    groups: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def load(self) -> None:
        """Give the optimizer its state, once all is read. All ranks must take part."""
        made = mapped({"state": self.state, "param_groups": self.groups}, (Space, _Number), _made)
        self.optimizer.load_state_dict(made)

    def asked(self, space: Space) -> Space:
        """Have something read."""
        self.requests.append(space.request)
        return space


@dataclass(frozen=True)
class _Number:
    """A number that was saved as a tensor."""

    space: Space


def _made(leaf: Space | _Number) -> Any:
    return leaf.made() if isinstance(leaf, Space) else leaf.space.made().item()


def fitted(
    key: str,
    saved: Mapping[str, Any],
    optimizer: Optimizer,
    names: list[tuple[str, ...]],
    misfits: AbstractSet[str] = frozenset(),
) -> Fitted:
    """Fit what was saved to an optimizer; nothing is read or changed yet.

    Parameters are known by their names, or, where a file has numbers, by their places: as torch does.

    Args:
        key: what the state is called in the checkpoint, for messages.
        saved: `state` and `param_groups`.
        optimizer: the optimizer.
        names: all names of each of its parameters, in its order.
        misfits: names of parameters whose weights do not fit, so that their states do not either.
    """
    found = Fitted(optimizer)
    groups: list[dict[str, Any]] = list(saved.get("param_groups", ()))
    held: Mapping[Any, Any] = saved.get("state", {})
    ids = _ids(key, groups, names, found.faults)
    home = {own: group for group in groups for own in group["params"]}
    found.faults.extend(f"'{key}' has a state '{own}' of no parameter" for own in held if own not in home)
    for number, (own, parameter) in enumerate(zip(ids, parameters_of(optimizer))):
        if own is None or own not in held or not misfits.isdisjoint(names[number]):
            continue
        before = optimizer.state.get(parameter, {})
        wrong = list(_wrong(held[own], before, f"'{key}': of '{names[number][0]}'"))
        found.faults.extend(wrong)
        if not wrong:
            found.state[number] = _fit(held[own], before, parameter, found)
    start = 0
    for place, group in enumerate(optimizer.param_groups):
        numbers = list(range(start, start + len(group["params"])))
        start += len(numbers)
        empty = groups[place] if place < len(groups) and not numbers else {}
        source = next((home[ids[n]] for n in numbers if ids[n] is not None), empty)
        found.groups.append({**_settings(group, source, found), "params": numbers})
    return found


def _ids(
    key: str, groups: list[dict[str, Any]], names: list[tuple[str, ...]], faults: list[str]
) -> list[Any]:
    """What the checkpoint calls each parameter of the optimizer; None: it has none of it."""
    listed = [own for group in groups for own in group["params"]]
    if not all(isinstance(own, str) for own in listed):
        if len(listed) != len(names):
            faults.append(f"'{key}' has {len(listed)} parameters there, and {len(names)} in the optimizer")
            return [None] * len(names)
        return listed
    there = {plain(own): own for own in listed}
    ids = [next((there[name] for name in several if name in there), None) for several in names]
    mine = {name for several in names for name in several}
    faults += [f"'{key}' has no '{several[0]}'" for several, own in zip(names, ids) if own is None]
    faults += [f"'{key}' has '{name}', and the optimizer does not" for name in there if name not in mine]
    return ids


def _wrong(saved: Any, before: Any, what: str) -> Iterator[str]:
    """Tensors that have another shape already."""
    for name, slot in saved.items() if isinstance(saved, Mapping) else ():
        own = before.get(name)
        if isinstance(slot, Slot) and isinstance(own, Tensor) and tuple(own.shape) != slot.shape:
            yield f"{what}, '{name}' is {slot.shape} there, and {tuple(own.shape)} in the optimizer"


def _fit(saved: Any, before: Any, parameter: Tensor, found: Fitted) -> Any:
    """What is held for one parameter, with room for its tensors."""
    if isinstance(saved, Slot):
        return found.asked(_space(saved, before, parameter))
    if isinstance(saved, Mapping):
        inner = before if isinstance(before, Mapping) else {}
        return {name: _fit(value, inner.get(name), parameter, found) for name, value in saved.items()}
    if isinstance(saved, list) or type(saved) is tuple:
        return type(saved)(_fit(value, None, parameter, found) for value in saved)
    return saved


def _space(slot: Slot, before: Any, parameter: Tensor) -> Space:
    """Laid out as it was before; else as the parameter, if it has its shape; else whole everywhere."""
    if isinstance(before, Tensor):
        return like(slot, before)
    if tuple(parameter.shape) == slot.shape:
        return like(slot, parameter)
    if not slot.shape:
        return like(slot, None)
    return on_all(slot, parameter) if isinstance(parameter, DTensor) else like(slot, parameter)


def _settings(own: Mapping[str, Any], saved: Mapping[str, Any], found: Fitted) -> dict[str, Any]:
    """A group's settings: the saved ones, and its own where there are none."""
    merged = {name: value for name, value in own.items() if name != "params"}
    for name, value in saved.items():
        if name != "params" and not (name in _HOW and name in own):
            merged[name] = _setting(value, own.get(name), found)
    return merged


def _setting(saved: Any, own: Any, found: Fitted) -> Any:
    """A tensor where the optimizer has one, a number where it has one."""
    if isinstance(saved, Slot):
        space = found.asked(like(saved, own))
        return space if own is None or isinstance(own, Tensor) else _Number(space)
    if isinstance(own, Tensor) and isinstance(saved, int | float):
        return torch.full_like(own, saved)
    return saved
