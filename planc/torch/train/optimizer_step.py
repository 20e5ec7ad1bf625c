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
    """Steps in this context accept a mix of plain parameters and DTensors, also with `foreach=True` and `fused=True`.

    Such steps pass all parameters of a group to one operation, which takes plain tensors, or DTensors of one
    mesh. During a step, each group is therefore split into one group for each mesh, with the same settings. Before and
    after, and in the closure of a step, the groups are the user's, and state dicts are those of the unsplit model.

    If an optimizer does not support DTensors, its own error gets a note that says which do.
    """
    mesh_groups, closures = _MeshGroups(optimizer), _ClosureErrors()
    hooks = (
        optimizer.register_step_pre_hook(closures.replace_closure),
        optimizer.register_step_pre_hook(mesh_groups.split),
        optimizer.register_step_post_hook(lambda *_: mesh_groups.restore()),
    )
    try:
        yield
    except (RuntimeError, NotImplementedError, TypeError) as error:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        is_optimizers = error is not closures.raised and _is_dtensor_error(error)
        if is_optimizers and any(isinstance(p, DTensor) for p in parameters):
            error.add_note(
                f"planc: {type(optimizer).__name__} with these settings does not support DTensor parameters. "
                "AdamW, Adam and SGD do, with and without foreach; Adam and AdamW also with fused=True"
            )
        raise
    finally:
        mesh_groups.restore()
        for hook in hooks:
            hook.remove()


class _ClosureErrors:
    """Remembers what the closure of a step raises: that is the user's own error, not the optimizer's."""

    def __init__(self) -> None:
        self.raised: Exception | None = None

    def replace_closure(
        self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Put a closure that remembers its error in place of the user's."""
        closure = kwargs["closure"] if "closure" in kwargs else next(iter(args[1:]), None)
        if closure is None:
            return None

        def watched() -> Any:
            try:
                return closure()
            except Exception as error:
                self.raised = error
                raise

        return args[:1], {**kwargs, "closure": watched}


class _MeshGroups:
    """The groups of an optimizer, and the groups that replace them during a step."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._split: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []

    def split(
        self, _: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Run the closure, which may change settings of groups, then split the groups."""
        if not any(len(_split_by_mesh(group)) > 1 for group in self._optimizer.param_groups):
            return None
        closure = kwargs["closure"] if "closure" in kwargs else next(iter(args[1:]), None)
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            args, kwargs = args[:1], {**kwargs, "closure": lambda: loss}
        self._split = [(group, _split_by_mesh(group)) for group in self._optimizer.param_groups]
        # In place: wrappers of optimizers keep a reference to the list.
        self._optimizer.param_groups[:] = [part for _, parts in self._split for part in parts]
        return args, kwargs

    def restore(self) -> None:
        """Put the groups back, with settings that the step has changed, such as a counter."""
        if not self._split:
            return
        for group, parts in self._split:
            if parts[0] is not group:
                group.update({key: value for key, value in parts[0].items() if key != "params"})
        self._optimizer.param_groups[:] = [group for group, _ in self._split]
        self._split = []


def _split_by_mesh(group: dict[str, Any]) -> list[dict[str, Any]]:
    """A group for each mesh, and one for plain parameters; the group itself if it has one kind of parameter, or if the
    step handles each parameter by itself."""
    if not (group.get("foreach") or group.get("fused")):
        return [group]
    by_mesh: dict[object, list[Tensor]] = {}
    for parameter in group["params"]:
        mesh = parameter.device_mesh if isinstance(parameter, DTensor) else None
        by_mesh.setdefault(mesh, []).append(parameter)
    if len(by_mesh) < 2:
        return [group]
    return [{**group, "params": parameters} for parameters in by_mesh.values()]


def _is_dtensor_error(error: Exception) -> bool:
    message = str(error)
    return any(word in message for word in ("DTensor", "sharding strategy", "placement"))
