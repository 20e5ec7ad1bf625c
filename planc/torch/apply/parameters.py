"""Parameters as DTensors, and each rank's share of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from planc.ir.lowered import Part
from planc.torch.apply.collectives import reduced
from planc.torch.apply.moves import summed
from planc.torch.apply.owned import owned


def share(whole: Tensor, part: Part, rank: int, ranks: int) -> Tensor:
    """What one rank holds of a whole tensor.

    The parts of a fused dim are cut each by itself: the rank's slice of the first part, then
    that of the second, ...
    """
    if part.dim is None:
        return whole
    pieces = []
    for piece in torch.split(whole, list(part.parts) or whole.shape[part.dim], part.dim):
        size = piece.shape[part.dim] // ranks
        pieces.append(piece.narrow(part.dim, rank * size, size))
    return torch.cat(pieces, part.dim) if len(pieces) > 1 else pieces[0].contiguous()


def as_dtensor(whole: nn.Parameter, part: Part, mesh: DeviceMesh) -> nn.Parameter:
    """A parameter split over a mesh of one axis. It keeps its shape, type and device."""
    local = share(whole.detach(), part, mesh.get_local_rank(), mesh.size())
    placement = Replicate() if part.dim is None else Shard(part.dim)
    made = DTensor.from_local(
        local.clone() if part.dim is not None else local, mesh, [placement],
        run_check=False, shape=whole.shape, stride=whole.stride(),
    )  # fmt: skip
    return nn.Parameter(made, requires_grad=whole.requires_grad)


def local(parameter: Tensor, over: ProcessGroup | None = None) -> Tensor:
    """What this rank computes with; gradients flow back to the parameter.

    Args:
        over: the ranks that each have a part of the gradient, as of a bias of a split sequence.
    """
    if not isinstance(parameter, DTensor):
        return parameter if over is None else summed(parameter, over)
    own: Tensor = _Local.apply(parameter, over)  # type: ignore[no-untyped-call]
    return own


class _Local(torch.autograd.Function):
    """As `DTensor.to_local`, whose backward pass works out for each gradient what the parameter says already."""

    @staticmethod
    def forward(ctx: Any, parameter: DTensor, over: ProcessGroup | None) -> Tensor:
        ctx.spec, ctx.plain, ctx.over = parameter._spec, parameter.is_contiguous(), over
        ctx.set_materialize_grads(False)
        own = parameter._local_tensor
        return own.view_as(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        gradient = owned(gradient) if ctx.over is None else reduced(gradient, ctx.over)
        spec = ctx.spec
        if ctx.plain and not torch.is_grad_enabled():
            made: Any = DTensor
            return made(gradient, copy.copy(spec), requires_grad=False), None
        return DTensor.from_local(gradient, spec.mesh, spec.placements, run_check=False), None
