"""Steps of optimizers on a mix of plain parameters and DTensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer


@contextmanager
def step_per_mesh(optimizer: Optimizer) -> Iterator[None]:
    """Steps in here work on a mix, also with `foreach=True` and `fused=True`.

    Such steps hand all parameters of a group to one operation, which takes plain ones, or DTensors
    of one mesh. While one works, each group is one group for each kind, with the same numbers. Before and
    after, as in the closure of a step, the groups are what they are, and state dicts are those of the
    unsplit model.

    An error of a step that knows no DTensors says what to do, as a note.
    """
    split = _MeshGroups(optimizer)
    hooks = (
        optimizer.register_step_pre_hook(split.split),
        optimizer.register_step_post_hook(lambda *_: split.restore()),
    )
    try:
        yield
    except (RuntimeError, NotImplementedError, TypeError) as bad:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        if any(isinstance(p, DTensor) for p in held) and _is_dtensor_error(bad):
            bad.add_note(
                f"planc: {type(optimizer).__name__} with these settings cannot make a step on parameters that "
                "are split. AdamW, Adam and SGD can, with foreach or without; Adam and AdamW fused, too"
            )
        raise
    finally:
        split.restore()
        for hook in hooks:
            hook.remove()


class _MeshGroups:
    """The groups of an optimizer, and what stands in their place during a step."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._pieces: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []

    def split(
        self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Run the closure, which may change a group's numbers, then split the groups."""
        if not any(len(_split_by_mesh(group)) > 1 for group in self._optimizer.param_groups):
            return None
        closure = kwargs["closure"] if "closure" in kwargs else next(iter(args[1:]), None)
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            args, kwargs = args[:1], {**kwargs, "closure": lambda: loss}
        self._pieces = [(group, _split_by_mesh(group)) for group in self._optimizer.param_groups]
        # In place: what holds the list, as wrappers of optimizers do, must see the same.
        self._optimizer.param_groups[:] = [piece for _, made in self._pieces for piece in made]
        return args, kwargs

    def restore(self) -> None:
        """The groups as they were, with what the step has written into them, as a counter."""
        if not self._pieces:
            return
        for group, made in self._pieces:
            if made[0] is not group:
                group.update({key: value for key, value in made[0].items() if key != "params"})
        self._optimizer.param_groups[:] = [group for group, _ in self._pieces]
        self._pieces = []


def _split_by_mesh(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group for each kind of parameter; the group itself where one operation takes them all, or
    where each parameter has its own."""
    if not (group.get("foreach") or group.get("fused")):
        return [group]
    kinds: dict[object, list[Tensor]] = {}
    for parameter in group["params"]:
        kind = parameter.device_mesh if isinstance(parameter, DTensor) else None
        kinds.setdefault(kind, []).append(parameter)
    if len(kinds) < 2:
        return [group]
    return [{**group, "params": parameters} for parameters in kinds.values()]


def _is_dtensor_error(bad: Exception) -> bool:
    said = str(bad)
    return any(word in said for word in ("DTensor", "sharding strategy", "placement"))
