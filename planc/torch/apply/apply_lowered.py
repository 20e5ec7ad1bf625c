"""A lowered plan applied to a model: split, recompute, compile, shard."""

from __future__ import annotations

import os

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import Lowered
from planc.torch.apply.checkpointing import apply_recompute
from planc.torch.apply.compile import apply_compile
from planc.torch.apply.fsdp import apply_fsdp, fsdp_unit_names
from planc.torch.apply.tensor_parallel import apply_tensor_parallel
from planc.torch.apply.vocab_parallel import apply_vocab_parallel_loss
from planc.torch.compat import flatten_mesh


def apply_lowered(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:
    """Apply a lowered plan to a model, in place. Every rank of the mesh calls this.

    The order is the one that torch needs: what is recomputed contains local parameters, what is compiled
    contains what is recomputed, and FSDP2 shards what tensor axes left.
    """
    _flatten_used_axes(lowered, mesh)
    for axis in lowered.tensor:
        apply_tensor_parallel(model, axis, mesh[axis.axis])
    apply_recompute(model, lowered.recompute)
    if os.environ.get("TORCH_COMPILE_DISABLE") != "1":
        apply_compile(model, lowered.compile, fsdp_unit_names(lowered))
    if lowered.fsdp is not None:
        apply_fsdp(model, lowered.fsdp, mesh)
    for axis in lowered.tensor:
        if axis.splits_logits:
            apply_vocab_parallel_loss(model, axis, mesh[axis.axis].get_group())


def _flatten_used_axes(lowered: Lowered, mesh: DeviceMesh) -> None:
    """Make one group of all ranks that share a model: torch then computes the norm of gradients in
    one step instead of axis by axis."""
    fsdp = lowered.fsdp
    used = {axis.axis for axis in lowered.tensor}
    used |= {name for name in (fsdp.axis, fsdp.replicate) if name is not None} if fsdp else set()
    names = tuple(name for name in mesh.mesh_dim_names or () if name in used)
    if len(names) > 1:
        flatten_mesh(mesh[names])
