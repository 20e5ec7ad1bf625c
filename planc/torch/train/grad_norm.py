"""Norms of gradients, and clipping, on any mix of plain parameters and DTensors.

Torch's functions need all gradients on one mesh. Here each rank computes the norms of its shards, all at
once, and one small all-reduce over each mesh combines them: every rank has the same norm, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate

from planc.torch.compat import foreach_clamp_max_, foreach_clamp_min_, foreach_mul_, foreach_norm
from planc.torch.train.grads import (
    as_list,
    group_by_dtype,
    local_grad,
    reduce_partial,
    reduce_partial_grads,
    to_mesh_device,
)


@torch.no_grad()
def total_grad_norm(parameters: Tensor | Iterable[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all gradients as one vector.

    Args:
        parameters: plain ones, which count once, and DTensors on any meshes; the same on every rank. A
            parameter without a gradient counts as zeros.
        norm_type: as for `torch.linalg.vector_norm`.

    Returns:
        A plain scalar on the device of the first gradient, in float32 or wider, the same on every rank.
    """
    given = [p for p in as_list(parameters) if p.requires_grad or p.grad is not None]
    if not given:
        return torch.tensor(0.0)
    first = next((p.grad for p in given if p.grad is not None), given[0])
    norms = torch.stack(_full_norms(given, float(norm_type)))
    total: Tensor = torch.linalg.vector_norm(norms, float(norm_type))
    return total.to(first.device, _norm_dtype(first.dtype))


@torch.no_grad()
def per_param_grad_norms(named: Mapping[str, Tensor], norm_type: float = 2.0) -> dict[str, Tensor]:
    """The norm of each parameter's gradient, by name: plain scalars in float64. Parameters without a gradient are
    left out. Every rank calls this with the same parameters."""
    norms = _full_norms(list(named.values()), float(norm_type)) if named else []
    return {name: norm for (name, p), norm in zip(named.items(), norms, strict=True) if p.grad is not None}


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients so that their norm is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does for
    the unsplit model. Every rank calls this with the same parameters.

    Returns:
        The norm before, as `total_grad_norm` returns it.

    Raises:
        RuntimeError: on every rank, if `error_if_nonfinite` and the norm is not finite; no gradient has been
            scaled.
    """
    given = as_list(parameters)
    with torch.no_grad():
        reduce_partial_grads(given)
        norm = total_grad_norm(given, norm_type)
        if error_if_nonfinite and not bool(torch.isfinite(norm)):
            raise RuntimeError(
                f"the norm (of type {norm_type}) of the gradients is {float(norm)}: they cannot be clipped. "
                "error_if_nonfinite=False scales them all the same"
            )
        factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        for gradients in group_by_dtype(local_grad(p.grad) for p in given if p.grad is not None):
            foreach_mul_(gradients, factor.to(gradients[0].device))
    return norm


def clip_grad_value(parameters: Tensor | Iterable[Tensor], value: float) -> None:
    """Clamp each entry of all gradients to the range from `-value` to `value`, as
    `torch.nn.utils.clip_grad_value_` does for the unsplit model."""
    given = as_list(parameters)
    with torch.no_grad():
        reduce_partial_grads(given)
        for gradients in group_by_dtype(local_grad(p.grad) for p in given if p.grad is not None):
            foreach_clamp_min_(gradients, -float(value))
            foreach_clamp_max_(gradients, float(value))


def _full_norms(parameters: Sequence[Tensor], norm_type: float) -> list[Tensor]:
    """The norm of each full gradient: plain scalars in float64, on one device."""
    gradients = [None if p.grad is None else reduce_partial(p.grad, p) for p in parameters]
    norms = _local_norms(gradients, norm_type, parameters[0].device)
    meshes: dict[DeviceMesh, list[int]] = {}
    for number, parameter in enumerate(parameters):
        # Grouped by the parameters and not by gradients, which some ranks may lack.
        if isinstance(parameter, DTensor):
            meshes.setdefault(parameter.device_mesh, []).append(number)
    for mesh, numbers in meshes.items():
        sharded = [_sharded_axes(gradients[number], parameters[number]) for number in numbers]
        reduced = _reduce_norms([norms[number] for number in numbers], sharded, mesh, norm_type)
        for number, norm in zip(numbers, reduced, strict=True):
            norms[number] = norm
    return norms


def _local_norms(gradients: Sequence[Tensor | None], norm_type: float, device: torch.device) -> list[Tensor]:
    """The norms of this rank's shards. An empty shard has the norm that changes no other."""
    neutral = torch.full((), inf if norm_type < 0 else 0.0, dtype=torch.float64, device=device)
    norms = [neutral] * len(gradients)
    shards = [(number, local_grad(g)) for number, g in enumerate(gradients) if g is not None]
    numbers = {id(tensor): number for number, tensor in shards}
    for group in group_by_dtype(tensor for _, tensor in shards if tensor.numel()):
        # Squares of half precision would overflow in their own dtype.
        dtype = None if group[0].is_complex() else _norm_dtype(group[0].dtype)
        group_norms = torch.stack(list(foreach_norm(group, norm_type, dtype=dtype)))
        for tensor, norm in zip(group, group_norms.to(device, torch.float64).unbind(), strict=True):
            norms[numbers[id(tensor)]] = norm
    return norms


def _sharded_axes(gradient: Tensor | None, parameter: Tensor) -> tuple[bool, ...]:
    """For each axis of the mesh, whether the gradient is sharded over it."""
    distributed = gradient if isinstance(gradient, DTensor) else parameter
    assert isinstance(distributed, DTensor)
    return tuple(not placement.is_replicate() for placement in distributed.placements)


def _reduce_norms(
    norms: Sequence[Tensor], sharded: Sequence[tuple[bool, ...]], mesh: DeviceMesh, norm_type: float
) -> Sequence[Tensor]:
    """Combine norms of shards to norms of full gradients: one collective, or one for each axis of a mesh that is
    not flattened.

    Args:
        norms: of this rank's shards.
        sharded: for each norm, over which axes of the mesh its gradient is sharded.
    """
    axes = [any(flags) for flags in zip(*sharded)]
    if not any(axes):
        return norms
    adds = abs(norm_type) != inf
    powers = torch.stack(list(norms))
    if adds:
        powers = powers.pow(norm_type) if norm_type else powers
        powers = torch.stack(_mask_duplicates(powers.unbind(), sharded, axes, mesh))
    op = "sum" if adds else ("max" if norm_type > 0 else "min")
    placements = [Partial(op) if axis else Replicate() for axis in axes]
    local = to_mesh_device(powers, mesh.device_type)
    total = DTensor.from_local(local, mesh, placements, run_check=False).full_tensor().to(powers.device)
    return (total.pow(1 / norm_type) if adds and norm_type else total).unbind()


def _mask_duplicates(
    powers: Sequence[Tensor], sharded: Sequence[tuple[bool, ...]], axes: Sequence[bool], mesh: DeviceMesh
) -> list[Tensor]:
    """Where ranks in one sum hold the same gradient, only the first of them counts it: the others get zero."""
    coordinate = mesh.get_coordinate()
    assert coordinate is not None
    zero = torch.zeros_like(powers[0])
    is_first = [not axis or not index for axis, index in zip(axes, coordinate, strict=True)]
    return [
        power if all(is_sharded or first for is_sharded, first in zip(flags, is_first, strict=True)) else zero
        for power, flags in zip(powers, sharded, strict=True)
    ]


def _norm_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype.to_real(), torch.float32)
