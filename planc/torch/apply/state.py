"""State dicts in the model's own order.

A rank holds its slice of every part of a fused parameter: torch takes the ranks' slices, one
behind the other, for the whole, which is the model's in another order. No placement of torch
says this (`_StridedShard` says it of equal parts, alone on its dim), and to hold the model's order
at rest would cost communication in every forward pass. So the order is changed where values leave and
enter: in the state dicts of modules and of optimizers. There, every rank must take part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from planc.ir.lowered import Part
from planc.torch.apply.boxes import local_box
from planc.torch.gathered import gathered


class Fused(NamedTuple):
    """How a fused parameter is stored: the slices of the first rank, then those of the second, ..."""

    dim: int
    parts: tuple[int, ...]
    """The whole size of each part."""
    ranks: int

    def runs(self) -> Iterator[tuple[int, int]]:
        """Where what is stored lies in the model's order: first index and length, run by run."""
        for rank in range(self.ranks):
            start = 0
            for whole in self.parts:
                size = whole // self.ranks
                yield start + rank * size, size
                start += whole

    def order(self, device: torch.device) -> Tensor:
        """The model's index of each stored index."""
        return torch.cat([torch.arange(first, first + size) for first, size in self.runs()]).to(device)


_OWNERS: WeakSet[nn.Module] = WeakSet()
"""Modules with fused parameters."""
_SEEN: WeakSet[Optimizer] = WeakSet()
"""Optimizers whose state dicts are in the model's order."""
_KEY = "_planc_fused"


def keep_order(module: nn.Module, name: str, part: Part, mesh: DeviceMesh) -> None:
    """Have state dicts show a fused parameter in the model's order, from now on."""
    if part.dim is None or len(part.parts) < 2 or mesh.size() == 1:
        return
    if not _OWNERS:
        register_optimizer_step_pre_hook(_before_step)
    if module not in _OWNERS:
        _OWNERS.add(module)
        setattr(module, _KEY, {})
        module.register_state_dict_post_hook(_shown)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_pre_hook(_taken)  # type: ignore[no-untyped-call]
    fused_of(module)[name] = Fused(part.dim, part.parts, mesh.size())


def fused_of(module: nn.Module) -> dict[str, Fused]:
    """The fused parameters of a module itself."""
    found: dict[str, Fused] = getattr(module, _KEY, {})
    return found


def whole(module: nn.Module, name: str, value: Tensor | None = None) -> Tensor:
    """A parameter in the model's own order and shape, on every rank; or what belongs to it, as
    its gradient. All ranks must ask for it.

    Args:
        module: any module above the parameter.
        name: the parameter's dotted name there.
        value: a tensor laid out as the parameter is; by default the parameter itself.
    """
    owner_name, _, own = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    value = getattr(owner, own) if value is None else value
    stored = gathered(value.detach())
    fused = fused_of(owner).get(own)
    return stored if fused is None else _in_model_order(stored, fused)


def _in_model_order(stored: Tensor, fused: Fused) -> Tensor:
    return torch.empty_like(stored).index_copy_(fused.dim, fused.order(stored.device), stored)


def _in_stored_order(whole: Tensor, fused: Fused) -> Tensor:
    return whole.index_select(fused.dim, fused.order(whole.device))


def _reordered(value: Any, fused: Fused, change: Callable[[Tensor, Fused], Tensor]) -> Any:
    """A DTensor laid out as before, whose whole is in another order; anything else as it is."""
    if not isinstance(value, DTensor) or value.device.type == "meta":
        return value
    with torch.no_grad():
        changed = change(gathered(value.detach()), fused)
        box = local_box(value)
        own = changed[tuple(slice(first, first + size) for first, size in box)]
        made = DTensor.from_local(
            own.contiguous(), value.device_mesh, value.placements,
            run_check=False, shape=value.shape, stride=value.stride(),
        )  # fmt: skip
        return made.to(value.device)


def _shown(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name, fused in fused_of(module).items():
        if prefix + name in state:
            state[prefix + name] = _reordered(state[prefix + name], fused, _in_model_order)


def _taken(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, fused in fused_of(module).items():
        if prefix + name in state:
            state[prefix + name] = _reordered(state[prefix + name], fused, _in_stored_order)


def _before_step(optimizer: Optimizer, *_: Any) -> None:
    """Meet an optimizer at its first step.

    What it holds before that step comes from a state dict, in the model's order, or is the same
    number everywhere.
    """
    if optimizer in _SEEN:
        return
    known = _fused_parameters()
    mine = [p for group in optimizer.param_groups for p in group["params"] if id(p) in known]
    if not mine:
        return
    _SEEN.add(optimizer)
    optimizer.register_state_dict_post_hook(_optimizer_shown)
    optimizer.register_load_state_dict_pre_hook(_optimizer_taken)
    for parameter in mine:
        if parameter in optimizer.state:
            held = optimizer.state[parameter]
            held.update(_held(held, parameter, known[id(parameter)], _in_stored_order))


def _fused_parameters() -> dict[int, Fused]:
    """Fused parameters by identity, in all modules there are."""
    return {
        id(module._parameters[name]): fused
        for module in _OWNERS
        for name, fused in fused_of(module).items()
        if module._parameters.get(name) is not None
    }


def _held(
    held: Mapping[str, Any], parameter: Tensor, fused: Fused, change: Callable[[Tensor, Fused], Tensor]
) -> dict[str, Any]:
    """An optimizer's numbers of one parameter; those shaped as the parameter are reordered."""
    return {
        key: _reordered(value, fused, change) if getattr(value, "shape", None) == parameter.shape else value
        for key, value in held.items()
    }


def _optimizer_shown(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _optimizer_changed(optimizer, state, _in_model_order)


def _optimizer_taken(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _optimizer_changed(optimizer, state, _in_stored_order)


def _optimizer_changed(
    optimizer: Optimizer, state: dict[str, Any], change: Callable[[Tensor, Fused], Tensor]
) -> dict[str, Any]:
    known = _fused_parameters()
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    held = dict(state["state"])
    for number, parameter in zip(numbers, parameters):
        if id(parameter) in known and number in held:
            held[number] = _held(held[number], parameter, known[id(parameter)], change)
    return {**state, "state": held}
