"""Memory for tensors that are read: this rank's slices of the full tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.placement_types import Placement

from planc.torch.apply.local_slice import SliceBounds, local_slice
from planc.torch.checkpoints.reader import TensorEntry
from planc.torch.weights.tensor_exprs import SliceRequest


@dataclass(frozen=True)
class ReadTarget:
    """This rank's memory for a tensor of a checkpoint."""

    entry: TensorEntry
    bounds: SliceBounds
    """Which slice of the full tensor it is."""
    local: Tensor
    mesh: DeviceMesh | None = None
    placements: tuple[Placement, ...] = ()

    @property
    def read_request(self) -> SliceRequest:
        """The slice to read into the memory."""
        return SliceRequest(self.entry.name, self.bounds, self.local)

    def to_tensor(self) -> Tensor:
        """The tensor, once it is read: a DTensor where there is a mesh."""
        if self.mesh is None:
            return self.local
        stride = torch.empty(self.entry.shape, device="meta").stride()
        made = DTensor.from_local(
            self.local, self.mesh, self.placements,
            run_check=False, shape=torch.Size(self.entry.shape), stride=stride,
        )  # fmt: skip
        return made.to(self.local.device)


def target_like(entry: TensorEntry, other: Any) -> ReadTarget:
    """A target with the mesh and the placements of another tensor of its shape; else for the full tensor."""
    if isinstance(other, DTensor) and tuple(other.shape) == entry.shape:
        return _allocate(entry, local_slice(other), other.device, other.device_mesh, tuple(other.placements))
    device = other.device if isinstance(other, Tensor) else torch.device("cpu")
    return _allocate(entry, _full_bounds(entry.shape), device)


def replicated_target(entry: TensorEntry, other: DTensor) -> ReadTarget:
    """A target for a tensor that every rank of another tensor's mesh replicates."""
    placements = (Replicate(),) * other.device_mesh.ndim
    return _allocate(entry, _full_bounds(entry.shape), other.device, other.device_mesh, placements)


def _allocate(
    entry: TensorEntry, bounds: SliceBounds, device: torch.device,
    mesh: DeviceMesh | None = None, placements: tuple[Placement, ...] = (),
) -> ReadTarget:  # fmt: skip
    local = torch.empty([size for _, size in bounds], dtype=entry.dtype, device=device)
    return ReadTarget(entry, bounds, local, mesh, placements)


def _full_bounds(shape: tuple[int, ...]) -> SliceBounds:
    return tuple((0, size) for size in shape)
