"""Gradients of plain parameters and of DTensors alike, and this rank's part of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor

from planc.torch.compat import group_device_types


def as_list(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """One parameter or several, as torch's functions take them, as a list."""
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def reduce_partial_grads(parameters: Iterable[Tensor]) -> None:
    """Reduce partial gradients to the placements of their parameters, in place. All ranks of a parameter's mesh must
    call this."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = reduce_partial(parameter.grad, parameter)


def reduce_partial(gradient: Tensor, parameter: Tensor) -> Tensor:
    """A gradient without partial placements: a partial one is reduced to the placements of its parameter.

    Raises:
        ValueError: the gradient is partial, and the parameter is not a DTensor.
    """
    if not isinstance(gradient, DTensor) or not any(p.is_partial() for p in gradient.placements):
        return gradient
    if isinstance(parameter, DTensor):
        return gradient.redistribute(placements=parameter.placements)
    raise ValueError(f"a plain parameter has a partial gradient, {gradient.placements}")


def local_grad(tensor: Tensor) -> Tensor:
    """This rank's shard of a tensor, in the same memory; a plain tensor itself."""
    local: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local


def group_by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Groups of tensors of one device and dtype, as torch's foreach functions need them."""
    groups: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return list(groups.values())


def all_gather_flat(local: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """Concatenate the tensors (length) of all ranks: (ranks * length)."""
    gathered = local.new_empty(dist.get_world_size(group) * len(local))
    # Newer releases of torch warn of the old name.
    gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(gathered, local, group=group)
    return gathered


def to_mesh_device(tensor: Tensor, device_type: str) -> Tensor:
    """A tensor on a device from which a mesh or a group can send it."""
    return tensor if tensor.device.type == device_type else tensor.to(torch.device(device_type))


def comm_device(device: torch.device, group: ProcessGroup | None = None) -> torch.device:
    """The device from which a group can send a tensor of `device`: that one, or this rank's accelerator."""
    group_or_world: Any = group if group is not None else dist.group.WORLD
    types = group_device_types(group_or_world)
    accelerator = torch.accelerator.current_accelerator()
    if device.type in types or accelerator is None:
        return device
    return torch.device(accelerator.type, torch.accelerator.current_device_index())
