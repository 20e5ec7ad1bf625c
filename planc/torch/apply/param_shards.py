"""Parameters as DTensors, and each rank's share of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from planc.ir.lowered import LoweredParam
from planc.torch.apply.collectives import all_reduce
from planc.torch.apply.grad_alias import unalias_grad
from planc.torch.apply.redistribute import all_reduce_grad
from planc.torch.compat import dtensor_spec, local_tensor


def local_shard(full: Tensor, layout: LoweredParam, rank: int, ranks: int) -> Tensor:
    """What one rank holds of a whole tensor.

    The parts of a fused dim are cut each by itself: the rank's slice of the first part, then
    that of the second, ...
    """
    if layout.dim is None:
        return full
    pieces = []
    for piece in torch.split(full, list(layout.part_sizes) or full.shape[layout.dim], layout.dim):
        size = piece.shape[layout.dim] // ranks
        pieces.append(piece.narrow(layout.dim, rank * size, size))
    return torch.cat(pieces, layout.dim) if len(pieces) > 1 else pieces[0].contiguous()


def distribute_param(full: nn.Parameter, layout: LoweredParam, mesh: DeviceMesh) -> nn.Parameter:
    """A parameter split over a mesh of one axis. It keeps its shape, type and device."""
    local = local_shard(full.detach(), layout, mesh.get_local_rank(), mesh.size())
    placement = Replicate() if layout.dim is None else Shard(layout.dim)
    made = DTensor.from_local(
        local.clone() if layout.dim is not None else local, mesh, [placement],
        run_check=False, shape=full.shape, stride=full.stride(),
    )  # fmt: skip
    return nn.Parameter(made, requires_grad=full.requires_grad)


def local_param(parameter: Tensor, grad_group: ProcessGroup | None = None) -> Tensor:
    """What this rank computes with; gradients flow back to the parameter.

    Args:
        over: the ranks that each have a part of the gradient, as of a bias of a split sequence.
    """
    if not isinstance(parameter, DTensor):
        return parameter if grad_group is None else all_reduce_grad(parameter, grad_group)
    own: Tensor = _LocalParamFunction.apply(parameter, grad_group)  # type: ignore[no-untyped-call]
    return own


class _LocalParamFunction(torch.autograd.Function):
    """As `DTensor.to_local`, whose backward pass works out for each gradient what the parameter says already."""

    @staticmethod
    def forward(ctx: Any, parameter: DTensor, over: ProcessGroup | None) -> Tensor:
        ctx.spec, ctx.plain, ctx.over = dtensor_spec(parameter), parameter.is_contiguous(), over
        ctx.set_materialize_grads(False)
        own = local_tensor(parameter)
        return own.view_as(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        gradient = unalias_grad(gradient) if ctx.over is None else all_reduce(gradient, ctx.over)
        spec = ctx.spec
        if ctx.plain and not torch.is_grad_enabled():
            made: Any = DTensor
            return made(gradient, copy.copy(spec), requires_grad=False), None
        return DTensor.from_local(gradient, spec.mesh, spec.placements, run_check=False), None
