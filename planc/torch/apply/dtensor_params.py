"""Parameters as DTensors, and the local tensors that a rank computes with."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

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


def local_param(
    parameter: Tensor, grad_group: ProcessGroup | None = None, sum_dtype: torch.dtype | None = None
) -> Tensor:
    """The local tensor that this rank computes with; gradients flow back to the parameter.

    Args:
        grad_group: ranks whose gradients are terms of the parameter's gradient, as those of a norm's weight
            on a sharded sequence are: they are all-reduced. None: every rank has the same gradient, or that
            of its shard.
        sum_dtype: the dtype of that sum; None: that of the gradients.
    """
    if not isinstance(parameter, DTensor):
        return parameter if grad_group is None else all_reduce_grad(parameter, grad_group)
    # A compiled region casts gradients to the dtype of its parameters.
    grad_dtype = parameter.grad_dtype if parameter.is_leaf and not torch.compiler.is_compiling() else None
    local: Tensor = _LocalParamFunction.apply(parameter, grad_group, sum_dtype, grad_dtype)  # type: ignore[no-untyped-call]
    return local


class _LocalParamFunction(torch.autograd.Function):
    """As `DTensor.to_local`, but the gradient takes its placements from the parameter: torch works them out for
    each gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        parameter: DTensor,
        grad_group: ProcessGroup | None,
        sum_dtype: torch.dtype | None,
        grad_dtype: torch.dtype | None,
    ) -> Tensor:
        ctx.spec, ctx.is_contiguous, ctx.grad_group = (
            dtensor_spec(parameter),
            parameter.is_contiguous(),
            grad_group,
        )
        ctx.sum_dtype, ctx.grad_dtype = sum_dtype, grad_dtype
        ctx.set_materialize_grads(False)
        local = local_tensor(parameter)
        return local.view_as(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if gradient is None:
            return None, None, None, None
        spec, dtype = ctx.spec, ctx.grad_dtype or gradient.dtype
        if ctx.grad_group is None:
            gradient = unalias_grad(gradient) if gradient.dtype == dtype else gradient.to(dtype)
        elif torch.compiler.is_compiling() and _is_wider(ctx.sum_dtype, gradient.dtype):
            # FSDP2 sums it, outside of the region, in the dtype of the gathered parameter's gradient.
            partial = [Partial()]
            return DTensor.from_local(gradient, spec.mesh, partial, run_check=False), None, None, None
        else:
            gradient = all_reduce(gradient.to(ctx.sum_dtype or gradient.dtype), ctx.grad_group).to(dtype)
        if ctx.is_contiguous and not torch.is_grad_enabled():
            # Without the checks of from_local.
            make_dtensor: Any = DTensor
            return make_dtensor(gradient, _with_dtype(spec, dtype), requires_grad=False), None, None, None
        return DTensor.from_local(gradient, spec.mesh, spec.placements, run_check=False), None, None, None


def _is_wider(dtype: torch.dtype | None, than: torch.dtype) -> bool:
    return dtype is not None and dtype.itemsize > than.itemsize


def _with_dtype(spec: Any, dtype: torch.dtype) -> Any:
    """The spec of a DTensor, for one of another dtype."""
    changed, meta = copy.copy(spec), spec.tensor_meta
    if meta is not None and meta.dtype != dtype:
        changed.tensor_meta = meta._replace(dtype=dtype)
    return changed
