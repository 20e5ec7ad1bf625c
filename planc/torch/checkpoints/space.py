"""Room for tensors that are read: this rank's slices of what will be whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.placement_types import Placement

from planc.torch.apply.boxes import Box, local_box
from planc.torch.checkpoints.stored import Slot
from planc.torch.weights.trees import Request


@dataclass(frozen=True)
class Space:
    """The rank's own memory for a tensor of a checkpoint."""

    slot: Slot
    box: Box
    """Which part of the whole it is."""
    local: Tensor
    mesh: DeviceMesh | None = None
    placements: tuple[Placement, ...] = ()

    @property
    def request(self) -> Request:
        """What is read into it."""
        return Request(self.slot.name, self.box, self.local)

    def made(self) -> Tensor:
        """The tensor, once it is read."""
        if self.mesh is None:
            return self.local
        stride = torch.empty(self.slot.shape, device="meta").stride()
        made = DTensor.from_local(
            self.local, self.mesh, self.placements,
            run_check=False, shape=torch.Size(self.slot.shape), stride=stride,
        )  # fmt: skip
        return made.to(self.local.device)


def like(slot: Slot, model: Any) -> Space:
    """Room for a tensor that lies as another one of its shape does, or is whole where there is none."""
    if isinstance(model, DTensor) and tuple(model.shape) == slot.shape:
        return _room(slot, local_box(model), model.device, model.device_mesh, tuple(model.placements))
    device = model.device if isinstance(model, Tensor) else torch.device("cpu")
    return _room(slot, _all_of(slot.shape), device)


def on_all(slot: Slot, other: DTensor) -> Space:
    """Room for a tensor that every rank of another one's mesh holds whole."""
    copies = (Replicate(),) * other.device_mesh.ndim
    return _room(slot, _all_of(slot.shape), other.device, other.device_mesh, copies)


def _room(
    slot: Slot, box: Box, device: torch.device,
    mesh: DeviceMesh | None = None, placements: tuple[Placement, ...] = (),
) -> Space:  # fmt: skip
    local = torch.empty([size for _, size in box], dtype=slot.dtype, device=device)
    return Space(slot, box, local, mesh, placements)


def _all_of(shape: tuple[int, ...]) -> Box:
    return tuple((0, size) for size in shape)
