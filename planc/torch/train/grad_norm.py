"""Norms of gradients, and clipping, on any mix of plain parameters and DTensors.

Torch's own functions want all gradients on one mesh. Here each rank takes the norms of its own
slices, all of them at once, and one small sum over each mesh makes the whole ones of them: every
rank has the same norm, to the bit.
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
    """The norm of all gradients, as if they were one vector.

    Args:
        parameters: plain ones, which count once, and DTensors on any meshes. Every rank calls this
            with the same ones. One without a gradient counts as zeros.
        norm_type: what `torch.linalg.vector_norm` takes.

    Returns:
        A plain scalar, the same on every rank, in float32 at least, where the first gradient lies.
    """
    given = [p for p in as_list(parameters) if p.requires_grad or p.grad is not None]
    if not given:
        return torch.tensor(0.0)
    first = next((p.grad for p in given if p.grad is not None), given[0])
    norms = torch.stack(_full_norms(given, float(norm_type)))
    whole: Tensor = torch.linalg.vector_norm(norms, float(norm_type))
    return whole.to(first.device, _norm_dtype(first.dtype))


@torch.no_grad()
def per_param_grad_norms(named: Mapping[str, Tensor], norm_type: float = 2.0) -> dict[str, Tensor]:
    """The norm of each parameter's gradient by itself, by name, as a plain scalar in float64;
    parameters without a gradient are left out. Every rank calls this, and with the same ones."""
    norms = _full_norms(list(named.values()), float(norm_type)) if named else []
    return {name: norm for (name, p), norm in zip(named.items(), norms, strict=True) if p.grad is not None}


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients so that their norm is no more than `max_norm`: what
    `torch.nn.utils.clip_grad_norm_` does to the unsplit model.

    Returns:
        The norm that they had, as `total_norm` gives it.

    Raises:
        RuntimeError: the norm is not finite, and that is an error. On every rank; no gradient has
            been scaled.
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
    """Bring each entry of all gradients between `-value` and `value`, as
    `torch.nn.utils.clip_grad_value_` does to the unsplit model."""
    given = as_list(parameters)
    with torch.no_grad():
        reduce_partial_grads(given)
        for gradients in group_by_dtype(local_grad(p.grad) for p in given if p.grad is not None):
            foreach_clamp_min_(gradients, -float(value))
            foreach_clamp_max_(gradients, float(value))


def _full_norms(parameters: Sequence[Tensor], norm_type: float) -> list[Tensor]:
    """The norm of each whole gradient: plain scalars in float64, on one device."""
    gradients = [None if p.grad is None else reduce_partial(p.grad, p) for p in parameters]
    norms = _local_norms(gradients, norm_type, parameters[0].device)
    meshes: dict[DeviceMesh, list[int]] = {}
    for number, parameter in enumerate(parameters):
        # By the parameters: all ranks have these, also where one has no gradient.
        if isinstance(parameter, DTensor):
            meshes.setdefault(parameter.device_mesh, []).append(number)
    for mesh, numbers in meshes.items():
        cut = [_sharded_axes(gradients[number], parameters[number]) for number in numbers]
        whole = _reduce_norms([norms[number] for number in numbers], cut, mesh, norm_type)
        for number, norm in zip(numbers, whole, strict=True):
            norms[number] = norm
    return norms


def _local_norms(gradients: Sequence[Tensor | None], norm_type: float, device: torch.device) -> list[Tensor]:
    """The norms of what this rank holds; where it holds nothing, that changes no other."""
    nothing = torch.full((), inf if norm_type < 0 else 0.0, dtype=torch.float64, device=device)
    norms = [nothing] * len(gradients)
    held = [(number, local_grad(g)) for number, g in enumerate(gradients) if g is not None]
    numbers = {id(tensor): number for number, tensor in held}
    for same in group_by_dtype(tensor for _, tensor in held if tensor.numel()):
        # Squares of half precision would overflow in their own type.
        precise = None if same[0].is_complex() else _norm_dtype(same[0].dtype)
        found = torch.stack(list(foreach_norm(same, norm_type, dtype=precise)))
        for tensor, norm in zip(same, found.to(device, torch.float64).unbind(), strict=True):
            norms[numbers[id(tensor)]] = norm
    return norms


def _sharded_axes(gradient: Tensor | None, parameter: Tensor) -> tuple[bool, ...]:
    """Over which axes of its mesh a gradient is cut."""
    laid = gradient if isinstance(gradient, DTensor) else parameter
    assert isinstance(laid, DTensor)
    return tuple(not placement.is_replicate() for placement in laid.placements)


def _reduce_norms(
    norms: Sequence[Tensor], sharded: Sequence[tuple[bool, ...]], mesh: DeviceMesh, norm_type: float
) -> Sequence[Tensor]:
    """Norms of slices, made those of the whole: one collective, or one for each axis of a mesh
    that has not been flattened."""
    axes = [any(cuts) for cuts in zip(*sharded)]
    if not any(axes):
        return norms
    adds = abs(norm_type) != inf
    shares = torch.stack(list(norms))
    if adds:
        shares = shares.pow(norm_type) if norm_type else shares
        shares = torch.stack(_mask_duplicates(shares.unbind(), sharded, axes, mesh))
    how = "sum" if adds else ("max" if norm_type > 0 else "min")
    laid = [Partial(how) if axis else Replicate() for axis in axes]
    there = to_mesh_device(shares, mesh.device_type)
    whole = DTensor.from_local(there, mesh, laid, run_check=False).full_tensor().to(shares.device)
    return (whole.pow(1 / norm_type) if adds and norm_type else whole).unbind()


def _mask_duplicates(
    powers: Sequence[Tensor], sharded: Sequence[tuple[bool, ...]], axes: Sequence[bool], mesh: DeviceMesh
) -> list[Tensor]:
    """What several of the ranks that are summed over hold alike is counted by the first of them."""
    place = mesh.get_coordinate()
    assert place is not None
    zero, alone = (
        torch.zeros_like(powers[0]),
        [not axis or not at for axis, at in zip(axes, place, strict=True)],
    )
    return [
        share if all(is_cut or first for is_cut, first in zip(cuts, alone, strict=True)) else zero
        for share, cuts in zip(powers, sharded, strict=True)
    ]


def _norm_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype.to_real(), torch.float32)
