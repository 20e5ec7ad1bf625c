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

from planc.ir.lowered import LoweredParam
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.apply.local_slice import local_slice
from planc.torch.compat import own_parameters


class PackedParam(NamedTuple):
    """How a fused parameter is stored: the slices of the first rank, then those of the second, ..."""

    dim: int
    parts: tuple[int, ...]
    """The whole size of each part."""
    ranks: int

    def stored_ranges(self) -> Iterator[tuple[int, int]]:
        """Where what is stored lies in the model's order: first index and length, run by run."""
        for rank in range(self.ranks):
            start = 0
            for whole in self.parts:
                size = whole // self.ranks
                yield start + rank * size, size
                start += whole

    def stored_order(self, device: torch.device) -> Tensor:
        """The model's index of each stored index."""
        return torch.cat([torch.arange(first, first + size) for first, size in self.stored_ranges()]).to(
            device
        )


_PACKED_OWNERS: WeakSet[nn.Module] = WeakSet()
"""Modules with fused parameters."""
_HOOKED_OPTIMIZERS: WeakSet[Optimizer] = WeakSet()
"""Optimizers whose state dicts are in the model's order."""
_ATTRIBUTE = "_planc_fused"


def register_packed_param(module: nn.Module, name: str, layout: LoweredParam, mesh: DeviceMesh) -> None:
    """Have state dicts show a fused parameter in the model's order, from now on."""
    if layout.dim is None or len(layout.part_sizes) < 2 or mesh.size() == 1:
        return
    if not _PACKED_OWNERS:
        register_optimizer_step_pre_hook(_hook_optimizer)
    if module not in _PACKED_OWNERS:
        _PACKED_OWNERS.add(module)
        setattr(module, _ATTRIBUTE, {})
        module.register_state_dict_post_hook(_state_dict_to_global)  # type: ignore[no-untyped-call]
        module.register_load_state_dict_pre_hook(_state_dict_to_local)  # type: ignore[no-untyped-call]
    packed_params(module)[name] = PackedParam(layout.dim, layout.part_sizes, mesh.size())


def packed_params(module: nn.Module) -> dict[str, PackedParam]:
    """The fused parameters of a module itself."""
    found: dict[str, PackedParam] = getattr(module, _ATTRIBUTE, {})
    return found


def full_param(module: nn.Module, name: str, value: Tensor | None = None) -> Tensor:
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
    stored = full_tensor(value.detach())
    fused = packed_params(owner).get(own)
    return stored if fused is None else _to_global_order(stored, fused)


def _to_global_order(stored: Tensor, packed: PackedParam) -> Tensor:
    return torch.empty_like(stored).index_copy_(packed.dim, packed.stored_order(stored.device), stored)


def _to_stored_order(full: Tensor, packed: PackedParam) -> Tensor:
    return full.index_select(packed.dim, packed.stored_order(full.device))


def _reorder(value: Any, packed: PackedParam, reorder: Callable[[Tensor, PackedParam], Tensor]) -> Any:
    """A DTensor laid out as before, whose whole is in another order; anything else as it is."""
    if not isinstance(value, DTensor) or value.device.type == "meta":
        return value
    with torch.no_grad():
        changed = reorder(full_tensor(value.detach()), packed)
        box = local_slice(value)
        own = changed[tuple(slice(first, first + size) for first, size in box)]
        made = DTensor.from_local(
            own.contiguous(), value.device_mesh, value.placements,
            run_check=False, shape=value.shape, stride=value.stride(),
        )  # fmt: skip
        return made.to(value.device)


def _state_dict_to_global(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name, fused in packed_params(module).items():
        if prefix + name in state:
            state[prefix + name] = _reorder(state[prefix + name], fused, _to_global_order)


def _state_dict_to_local(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, fused in packed_params(module).items():
        if prefix + name in state:
            state[prefix + name] = _reorder(state[prefix + name], fused, _to_stored_order)


def _hook_optimizer(optimizer: Optimizer, *_: Any) -> None:
    """Meet an optimizer at its first step.

    What it holds before that step comes from a state dict, in the model's order, or is the same
    number everywhere.
    """
    if optimizer in _HOOKED_OPTIMIZERS:
        return
    known = _packed_params_by_id()
    mine = [p for group in optimizer.param_groups for p in group["params"] if id(p) in known]
    if not mine:
        return
    _HOOKED_OPTIMIZERS.add(optimizer)
    optimizer.register_state_dict_post_hook(_optimizer_to_global)
    optimizer.register_load_state_dict_pre_hook(_optimizer_to_local)
    for parameter in mine:
        if parameter in optimizer.state:
            held = optimizer.state[parameter]
            held.update(_reorder_state(held, parameter, known[id(parameter)], _to_stored_order))


def _packed_params_by_id() -> dict[int, PackedParam]:
    """Fused parameters by identity, in all modules there are."""
    return {
        id(own_parameters(module)[name]): fused
        for module in _PACKED_OWNERS
        for name, fused in packed_params(module).items()
        if own_parameters(module).get(name) is not None
    }


def _reorder_state(
    state: Mapping[str, Any],
    parameter: Tensor,
    packed: PackedParam,
    reorder: Callable[[Tensor, PackedParam], Tensor],
) -> dict[str, Any]:
    """An optimizer's numbers of one parameter; those shaped as the parameter are reordered."""
    return {
        key: _reorder(value, packed, reorder) if getattr(value, "shape", None) == parameter.shape else value
        for key, value in state.items()
    }


def _optimizer_to_global(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _reorder_optimizer(optimizer, state, _to_global_order)


def _optimizer_to_local(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _reorder_optimizer(optimizer, state, _to_stored_order)


def _reorder_optimizer(
    optimizer: Optimizer, state: dict[str, Any], reorder: Callable[[Tensor, PackedParam], Tensor]
) -> dict[str, Any]:
    known = _packed_params_by_id()
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    held = dict(state["state"])
    for number, parameter in zip(numbers, parameters):
        if id(parameter) in known and number in held:
            held[number] = _reorder_state(held[number], parameter, known[id(parameter)], reorder)
    return {**state, "state": held}
