"""A rank's share of whole tensors: of the batch on data axes, of dims on tensor axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from planc.ir.lowered import Lowered
from planc.torch.apply.param_shards import local_shard


class LocalView:
    """Where a rank stands: which part of the batch it gets, and which slice of what a tensor axis splits."""

    def __init__(self, lowered: Lowered, mesh: DeviceMesh) -> None:
        self.lowered, self.mesh = lowered, mesh
        fsdp = lowered.fsdp
        names = [n for n in (fsdp.replicate, fsdp.axis) if n is not None] if fsdp else []
        self.data_rank, self.data_ranks = 0, 1
        for name in names:
            self.data_rank = self.data_rank * mesh[name].size() + mesh[name].get_local_rank()
            self.data_ranks *= mesh[name].size()
        self.tensor_coordinates = [
            (mesh[a.axis].get_local_rank(), mesh[a.axis].size()) for a in lowered.tensor
        ]

    def local_batch(self, item: Any, batch: int) -> Any:
        """This rank's part of the inputs."""
        if isinstance(item, Tensor):
            if item.ndim == 0 or item.shape[0] != batch or self.data_ranks == 1:
                return item
            rows = batch // self.data_ranks
            return item[self.data_rank * rows : (self.data_rank + 1) * rows]
        if isinstance(item, Mapping):
            return {key: self.local_batch(part, batch) for key, part in item.items()}
        if isinstance(item, tuple | list):
            return type(item)(self.local_batch(part, batch) for part in item)
        return item

    def local_result(self, whole: Tensor, shape: torch.Size, *, may_be_sharded: bool) -> tuple[Tensor, bool]:
        """The piece of a whole result that this rank is to have, judged by the shape of what it has, and
        whether a tensor axis splits it.

        Args:
            may_split: whether the plan says that a tensor axis does.
        """
        piece = whole
        if self.batch_shards(whole, shape) > 1:
            piece = _even_chunk(piece, 0, self.data_rank, self.data_ranks)
        for rank, ranks in self.tensor_coordinates if may_be_sharded else ():
            for dim in range(min(piece.ndim, len(shape))):
                if piece.shape[dim] != shape[dim] and piece.shape[dim] == shape[dim] * ranks:
                    return _even_chunk(piece, dim, rank, ranks), True
        return piece, False

    def batch_shards(self, whole: Tensor, shape: torch.Size) -> int:
        """By how many parts of the batch the rows of a whole result are shared."""
        is_cut = whole.ndim and len(shape) == whole.ndim and whole.shape[0] == shape[0] * self.data_ranks
        return self.data_ranks if is_cut else 1

    def in_shard_order(self, whole: Tensor, name: str) -> Tensor:
        """A whole parameter in the order of the ranks that hold its slices: fused parts are cut each by
        itself."""
        module, _, own = name.rpartition(".")
        for axis in self.lowered.tensor:
            part = axis.modules[module].parameters.get(own) if module in axis.modules else None
            if part is not None and part.dim is not None and len(part.part_sizes) > 1:
                ranks = self.mesh[axis.axis].size()
                whole = torch.cat([local_shard(whole, part, rank, ranks) for rank in range(ranks)], part.dim)
        return whole


def batch_size(item: Any) -> int:
    """The size of the batch: the first dim of the first tensor that has more than one; 0: there is none."""
    if isinstance(item, Tensor):
        return item.shape[0] if item.ndim > 1 else 0
    parts = item.values() if isinstance(item, Mapping) else item if isinstance(item, tuple | list) else ()
    return next((size for size in map(batch_size, parts) if size), 0)


def gather_full(x: Tensor) -> Tensor:
    """All of a tensor; every rank calls this."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def _even_chunk(x: Tensor, dim: int, rank: int, ranks: int) -> Tensor:
    size = x.shape[dim] // ranks
    return x.narrow(dim, rank * size, size)
