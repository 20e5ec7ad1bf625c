"""Gradients of plain parameters and DTensors together: what the rank itself holds of them."""

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
    """Parameters as torch's functions take them: one, or several."""
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def reduce_partial_grads(parameters: Iterable[Tensor]) -> None:
    """Gradients that are parts of a sum become the sum, laid out as their parameters are. All
    ranks of a parameter's mesh must call this."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = reduce_partial(parameter.grad, parameter)


def reduce_partial(gradient: Tensor, parameter: Tensor) -> Tensor:
    """A gradient whose numbers are its own: laid out as its parameter, if it was parts of a sum."""
    if not isinstance(gradient, DTensor) or not any(p.is_partial() for p in gradient.placements):
        return gradient
    if isinstance(parameter, DTensor):
        return gradient.redistribute(placements=parameter.placements)
    raise ValueError(f"a plain parameter has a gradient of parts of a sum, {gradient.placements}")


def local_grad(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor, in the same memory."""
    held: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return held


def group_by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors of one device and type together, as torch's foreach functions want them."""
    found: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return list(found.values())


def all_gather_flat(local: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """The tensors of all ranks, one after the other: (ranks * length) of (length)."""
    every = local.new_empty(dist.get_world_size(group) * len(local))
    # Newer releases of torch warn of the old name.
    gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(every, local, group=group)
    return every


def to_mesh_device(tensor: Tensor, device_type: str) -> Tensor:
    """A tensor where a mesh, or a group, can send it."""
    return tensor if tensor.device.type == device_type else tensor.to(torch.device(device_type))


def comm_device(device: torch.device, group: ProcessGroup | None = None) -> torch.device:
    """Where a group can send what lies on a device: there, or on the accelerator of this rank."""
    chosen: Any = group if group is not None else dist.group.WORLD
    types = group_device_types(chosen)
    accelerator = torch.accelerator.current_accelerator()
    if device.type in types or accelerator is None:
        return device
    return torch.device(accelerator.type, torch.accelerator.current_device_index())
