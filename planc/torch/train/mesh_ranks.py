"""What all ranks of a mesh tell each other, without a process group of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.record import Record
from planc.torch.train.grads import all_gather_flat, comm_device


class MeshRanks(Record):
    """Ranks of a mesh. Collectives go through one axis after the other."""

    groups: tuple[ProcessGroup | None, ...]
    """Of each axis with several ranks, the innermost first; None: all ranks."""
    ranks: tuple[int, ...]
    """The global ranks; those along the innermost axis are neighbours."""

    @classmethod
    def everywhere(cls) -> MeshRanks:
        """All ranks."""
        count = dist.get_world_size() if dist.is_initialized() else 1
        return cls((None,) if count > 1 else (), tuple(range(count)))

    @classmethod
    def of_mesh(cls, mesh: DeviceMesh) -> MeshRanks:
        """The ranks of a mesh, this one among them."""
        axes = [axis for axis in reversed(range(mesh.ndim)) if mesh.size(axis) > 1]
        return cls(tuple(map(mesh.get_group, axes)), tuple(mesh.mesh.flatten().tolist()))

    def gather_ints(self, numbers: Sequence[int]) -> list[list[int]]:
        """The numbers of each rank, in the order of `ranks`; as many on each."""
        found = torch.tensor(numbers, dtype=torch.int64)
        for group in self.groups:
            found = all_gather_flat(found.to(comm_device(found.device, group)), group)
        rows: list[list[int]] = found.view(len(self.ranks), len(numbers)).tolist()
        return rows

    def gather_objects(self, value: Any) -> list[Any]:
        """What each rank has, in the order of `ranks`."""
        found = [value]
        for group in self.groups:
            parts: list[Any] = [None] * dist.get_world_size(group)
            dist.all_gather_object(parts, found, group=group)
            found = [one for part in parts for one in part]
        return found

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first rank's tensor, on a device that can send it."""
        for group in self.groups:
            tensor = tensor.to(comm_device(tensor.device, group))
            # As bytes: no backend supports every dtype.
            dist.broadcast(tensor.view(torch.uint8), group_src=0, group=group)
        return tensor
