"""Packed parameters: several parts fused along one dim, each sharded by itself.

A rank holds its slice of every part. Torch takes the concatenation of the ranks' shards for the full tensor: that
is the model's tensor in another order. No placement of torch describes this (`_StridedShard` does for
equal parts, if nothing else shards the dim), and to store shards in the model's order would cost communication in every
forward pass. So planc reorders where values leave and enter: in the state dicts of modules and of optimizers. All
ranks must take part in those.
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
    """How a packed parameter is stored: the slices of the first rank, then those of the second, ..."""

    dim: int
    parts: tuple[int, ...]
    """The size of each part, over all ranks."""
    ranks: int

    def stored_ranges(self) -> Iterator[tuple[int, int]]:
        """The ranges of the model's indices in the order of storage: first index and length."""
        for rank in range(self.ranks):
            start = 0
            for part in self.parts:
                size = part // self.ranks
                yield start + rank * size, size
                start += part

    def stored_order(self, device: torch.device) -> Tensor:
        """The model's index of each stored index: int64, (size of the dim)."""
        return torch.cat([torch.arange(first, first + size) for first, size in self.stored_ranges()]).to(
            device
        )


_PACKED_OWNERS: WeakSet[nn.Module] = WeakSet()
"""Modules with packed parameters."""
_HOOKED_OPTIMIZERS: WeakSet[Optimizer] = WeakSet()
"""Optimizers whose state dicts are in the model's order already."""
_ATTRIBUTE = "_planc_packed"


def register_packed_param(module: nn.Module, name: str, layout: LoweredParam, mesh: DeviceMesh) -> None:
    """Let state dicts contain a packed parameter in the model's order from now on. Other parameters stay as they are."""
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
    """The packed parameters of a module itself, by name."""
    packed: dict[str, PackedParam] = getattr(module, _ATTRIBUTE, {})
    return packed


def full_param(module: nn.Module, name: str, value: Tensor | None = None) -> Tensor:
    """The full tensor of a parameter in the model's order, on every rank. All ranks must call this.

    Args:
        module: any module above the parameter.
        name: the parameter's dotted name there.
        value: a tensor with the parameter's layout, such as its gradient; None: the parameter itself.
    """
    owner_name, _, own = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    value = getattr(owner, own) if value is None else value
    stored = full_tensor(value.detach())
    packed = packed_params(owner).get(own)
    return stored if packed is None else to_global_order(stored, packed)


def packed_of_tensor(tensor: Tensor) -> PackedParam | None:
    """How a tensor is stored that is a packed parameter, or the gradient of one; None: it is neither."""
    for module in _PACKED_OWNERS:
        for name, packed in packed_params(module).items():
            parameter = own_parameters(module).get(name)
            if parameter is not None and (tensor is parameter or tensor is parameter.grad):
                return packed
    return None


def to_global_order(stored: Tensor, packed: PackedParam) -> Tensor:
    """A full tensor in the model's order."""
    return torch.empty_like(stored).index_copy(packed.dim, packed.stored_order(stored.device), stored)


def _to_stored_order(full: Tensor, packed: PackedParam) -> Tensor:
    return full.index_select(packed.dim, packed.stored_order(full.device))


def _reorder(value: Any, packed: PackedParam, reorder: Callable[[Tensor, PackedParam], Tensor]) -> Any:
    """A DTensor of the same layout whose full tensor is in another order; other values stay as they are."""
    if not isinstance(value, DTensor) or value.device.type == "meta":
        return value
    with torch.no_grad():
        reordered = reorder(full_tensor(value.detach()), packed)
        local = reordered[tuple(slice(first, first + size) for first, size in local_slice(value))]
        distributed = DTensor.from_local(
            local.contiguous(), value.device_mesh, value.placements,
            run_check=False, shape=value.shape, stride=value.stride(),
        )  # fmt: skip
        return distributed.to(value.device)


def _state_dict_to_global(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name, packed in packed_params(module).items():
        if prefix + name in state:
            state[prefix + name] = _reorder(state[prefix + name], packed, to_global_order)


def _state_dict_to_local(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, packed in packed_params(module).items():
        if prefix + name in state:
            state[prefix + name] = _reorder(state[prefix + name], packed, _to_stored_order)


def _hook_optimizer(optimizer: Optimizer, *_: Any) -> None:
    """Hook the state dicts of an optimizer, before its first step.

    State that it has before that step comes from a state dict, in the model's order, or is the same
    number everywhere.
    """
    if optimizer in _HOOKED_OPTIMIZERS:
        return
    packed = _packed_params_by_id()
    parameters = [p for group in optimizer.param_groups for p in group["params"] if id(p) in packed]
    if not parameters:
        return
    _HOOKED_OPTIMIZERS.add(optimizer)
    optimizer.register_state_dict_post_hook(_optimizer_to_global)
    optimizer.register_load_state_dict_pre_hook(_optimizer_to_local)
    for parameter in parameters:
        if parameter in optimizer.state:
            state = optimizer.state[parameter]
            state.update(_reorder_state(state, parameter, packed[id(parameter)], _to_stored_order))


def _packed_params_by_id() -> dict[int, PackedParam]:
    """The packed parameters of all modules, by the identity of the parameter."""
    return {
        id(own_parameters(module)[name]): packed
        for module in _PACKED_OWNERS
        for name, packed in packed_params(module).items()
        if own_parameters(module).get(name) is not None
    }


def _reorder_state(
    state: Mapping[str, Any],
    parameter: Tensor,
    packed: PackedParam,
    reorder: Callable[[Tensor, PackedParam], Tensor],
) -> dict[str, Any]:
    """Reorder an optimizer's state of one parameter: the tensors of the parameter's shape."""
    return {
        key: _reorder(value, packed, reorder) if getattr(value, "shape", None) == parameter.shape else value
        for key, value in state.items()
    }


def _optimizer_to_global(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _reorder_optimizer(optimizer, state, to_global_order)


def _optimizer_to_local(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    return _reorder_optimizer(optimizer, state, _to_stored_order)


def _reorder_optimizer(
    optimizer: Optimizer, state: dict[str, Any], reorder: Callable[[Tensor, PackedParam], Tensor]
) -> dict[str, Any]:
    packed = _packed_params_by_id()
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    reordered = dict(state["state"])
    for number, parameter in zip(numbers, parameters):
        if id(parameter) in packed and number in reordered:
            reordered[number] = _reorder_state(reordered[number], parameter, packed[id(parameter)], reorder)
    return {**state, "state": reordered}
