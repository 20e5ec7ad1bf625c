"""A lowered plan carried out on a model: the rows of block kinds say how."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.lowered import Lowered
from planc.reference import load_reference
from planc.torch.apply.call_guard import guard_calls
from planc.torch.apply.vocab_parallel import apply_vocab_parallel_loss
from planc.torch.compat import flatten_mesh


def apply_lowered(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:
    """Carry out a lowered plan on a model, in place. Every rank of the mesh calls this.

    Args:
        mesh: has all axes that the plan names.
    """
    _flatten_used_axes(lowered, mesh)
    for row in sorted(BLOCK_KINDS.values(), key=lambda row: row.apply_order):
        if row.application is not None:
            load_reference(row.application)(model, lowered, mesh)
    # Last of all: hooks of torch on the model's result must get the slices.
    for axis in lowered.tensor:
        if axis.splits_logits:
            apply_vocab_parallel_loss(model, axis, mesh)
    guard_calls(model, lowered)


def _flatten_used_axes(lowered: Lowered, mesh: DeviceMesh) -> None:
    """Make one group of all ranks that share a model: torch then computes the norm of gradients in
    one step instead of axis by axis."""
    fsdp = lowered.fsdp
    used = {axis.axis for axis in lowered.tensor}
    used |= {name for name in (fsdp.axis, fsdp.replicate) if name is not None} if fsdp else set()
    names = tuple(name for name in mesh.mesh_dim_names or () if name in used)
    if len(names) > 1:
        flatten_mesh(mesh[names])
