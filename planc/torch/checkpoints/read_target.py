"""Room for tensors that are read: this rank's slices of what will be whole."""

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
    """The rank's own memory for a tensor of a checkpoint."""

    entry: TensorEntry
    bounds: SliceBounds
    """Which part of the whole it is."""
    local: Tensor
    mesh: DeviceMesh | None = None
    placements: tuple[Placement, ...] = ()

    @property
    def read_request(self) -> SliceRequest:
        """What is read into it."""
        return SliceRequest(self.entry.name, self.bounds, self.local)

    def to_tensor(self) -> Tensor:
        """The tensor, once it is read."""
        if self.mesh is None:
            return self.local
        stride = torch.empty(self.entry.shape, device="meta").stride()
        made = DTensor.from_local(
            self.local, self.mesh, self.placements,
            run_check=False, shape=torch.Size(self.entry.shape), stride=stride,
        )  # fmt: skip
        return made.to(self.local.device)


def target_like(slot: TensorEntry, model: Any) -> ReadTarget:
    """Room for a tensor that lies as another one of its shape does, or is whole where there is none."""
    if isinstance(model, DTensor) and tuple(model.shape) == slot.shape:
        return _allocate(slot, local_slice(model), model.device, model.device_mesh, tuple(model.placements))
    device = model.device if isinstance(model, Tensor) else torch.device("cpu")
    return _allocate(slot, _full_box(slot.shape), device)


def replicated_target(slot: TensorEntry, other: DTensor) -> ReadTarget:
    """Room for a tensor that every rank of another one's mesh holds whole."""
    copies = (Replicate(),) * other.device_mesh.ndim
    return _allocate(slot, _full_box(slot.shape), other.device, other.device_mesh, copies)


def _allocate(
    slot: TensorEntry, bounds: SliceBounds, device: torch.device,
    mesh: DeviceMesh | None = None, placements: tuple[Placement, ...] = (),
) -> ReadTarget:  # fmt: skip
    local = torch.empty([size for _, size in bounds], dtype=slot.dtype, device=device)
    return ReadTarget(slot, bounds, local, mesh, placements)


def _full_box(shape: tuple[int, ...]) -> SliceBounds:
    return tuple((0, size) for size in shape)
