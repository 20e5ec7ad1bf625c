"""Parameters as DTensors, and the local tensors that a rank computes with."""

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
    """The shard of one rank of a full tensor.

    Each part of a packed dim is sharded by itself: the shard is the rank's slice of the first part, then
    its slice of the second, ...

    Args:
        full: of any shape; `ranks` divide its sharded dim, and each part of it.
        rank: 0 to `ranks` - 1.

    Returns:
        The shard, contiguous; the full tensor itself where no dim is sharded.
    """
    if layout.dim is None:
        return full
    slices = []
    for part in torch.split(full, list(layout.part_sizes) or full.shape[layout.dim], layout.dim):
        size = part.shape[layout.dim] // ranks
        slices.append(part.narrow(layout.dim, rank * size, size))
    return torch.cat(slices, layout.dim) if len(slices) > 1 else slices[0].contiguous()


def distribute_param(full: nn.Parameter, layout: LoweredParam, mesh: DeviceMesh) -> nn.Parameter:
    """The parameter as a DTensor over a mesh of one axis. It keeps its shape, dtype and device."""
    local = local_shard(full.detach(), layout, mesh.get_local_rank(), mesh.size())
    placement = Replicate() if layout.dim is None else Shard(layout.dim)
    distributed = DTensor.from_local(
        local.clone() if layout.dim is not None else local, mesh, [placement],
        run_check=False, shape=full.shape, stride=full.stride(),
    )  # fmt: skip
    return nn.Parameter(distributed, requires_grad=full.requires_grad)


def local_param(parameter: Tensor, grad_group: ProcessGroup | None = None) -> Tensor:
    """The local tensor that this rank computes with; gradients flow back to the parameter.

    Args:
        grad_group: ranks whose gradients are terms of the parameter's gradient, as those of a norm's weight
            on a sharded sequence are: they are all-reduced. None: every rank has the same gradient, or that
            of its shard.
    """
    if not isinstance(parameter, DTensor):
        return parameter if grad_group is None else all_reduce_grad(parameter, grad_group)
    local: Tensor = _LocalParamFunction.apply(parameter, grad_group)  # type: ignore[no-untyped-call]
    return local


class _LocalParamFunction(torch.autograd.Function):
    """As `DTensor.to_local`, but the gradient takes its placements from the parameter: torch works them out for
    each gradient."""

    @staticmethod
    def forward(ctx: Any, parameter: DTensor, grad_group: ProcessGroup | None) -> Tensor:
        ctx.spec, ctx.is_contiguous, ctx.grad_group = (
            dtensor_spec(parameter),
            parameter.is_contiguous(),
            grad_group,
        )
        ctx.set_materialize_grads(False)
        local = local_tensor(parameter)
        return local.view_as(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        gradient = unalias_grad(gradient) if ctx.grad_group is None else all_reduce(gradient, ctx.grad_group)
        spec = ctx.spec
        if ctx.is_contiguous and not torch.is_grad_enabled():
            # Without the checks of from_local.
            make_dtensor: Any = DTensor
            return make_dtensor(gradient, copy.copy(spec), requires_grad=False), None
        return DTensor.from_local(gradient, spec.mesh, spec.placements, run_check=False), None
