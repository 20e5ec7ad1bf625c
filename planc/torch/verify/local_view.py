"""This rank's slices of full tensors: of the batch on data axes, of dims on tensor axes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import Lowered
from planc.ir.tree import leaves, map_leaves
from planc.torch.apply.dtensor_params import local_shard
from planc.torch.apply.vocab_parallel import VocabParallelLogits


class LocalView:
    """Where this rank is on the mesh, and so which slices are its own."""

    def __init__(self, lowered: Lowered, mesh: DeviceMesh) -> None:
        """
        Args:
            lowered: the plan's instructions.
            mesh: with all of the plan's axes.
        """
        self.lowered, self.mesh = lowered, mesh
        fsdp = lowered.fsdp
        self.data_axes = [name for name in (fsdp.replicate, fsdp.axis) if name is not None] if fsdp else []
        self.data_rank, self.data_ranks = 0, 1
        for name in self.data_axes:
            self.data_rank = self.data_rank * mesh[name].size() + mesh[name].get_local_rank()
            self.data_ranks *= mesh[name].size()
        self.tensor_coordinates = [
            (mesh[axis.axis].get_local_rank(), mesh[axis.axis].size()) for axis in lowered.tensor
        ]
        """This rank's index on each tensor axis, and the size of the axis."""

    def local_batch(self, item: Any, batch: int) -> Any:
        """This data rank's rows of inputs.

        Args:
            item: inputs, in tuples, lists and mappings.
            batch: the size of the batch; a tensor whose first dim has this size is split.
        """

        def local_rows(tensor: Tensor) -> Tensor:
            if tensor.ndim == 0 or tensor.shape[0] != batch or self.data_ranks == 1:
                return tensor
            rows = batch // self.data_ranks
            return tensor[self.data_rank * rows : (self.data_rank + 1) * rows]

        return map_leaves(item, Tensor, local_rows)

    def local_result(self, full: Tensor, shape: torch.Size, *, may_be_sharded: bool) -> tuple[Tensor, bool]:
        """The slice of a full output that this rank should have, inferred from the shape that it has, and whether
        a tensor axis shards it.

        Args:
            full: the output of the unsplit model.
            shape: of this rank's output.
            may_be_sharded: whether the plan says that a tensor axis shards it.
        """
        local = full
        batch_dim = self._batch_dim(full, shape)
        if batch_dim is not None:
            local = _even_chunk(local, batch_dim, self.data_rank, self.data_ranks)
        for rank, ranks in self.tensor_coordinates if may_be_sharded else ():
            for dim in range(min(local.ndim, len(shape))):
                if local.shape[dim] != shape[dim] and local.shape[dim] == shape[dim] * ranks:
                    return _even_chunk(local, dim, rank, ranks), True
        return local, False

    def batch_shards(self, full: Tensor, shape: torch.Size) -> int:
        """How many data ranks share a full output, given the shape of this rank's output."""
        return 1 if self._batch_dim(full, shape) is None else self.data_ranks

    def _batch_dim(self, full: Tensor, shape: torch.Size) -> int | None:
        """The dim of a full output that the data ranks share: mostly the first, that of a recurrent state the second.
        A tensor axis shards a later one."""
        if self.data_ranks == 1 or len(shape) != full.ndim:
            return None
        shared = (d for d in range(full.ndim) if full.shape[d] == shape[d] * self.data_ranks)
        return next(shared, None)

    def mean_over_batch(self, full: Tensor, own: Tensor) -> Tensor:
        """An output as it is compared: one number, such as a loss, is the mean over the data ranks. They all call this."""
        is_loss = own.numel() == full.numel() == 1 and own.is_floating_point()
        if self.data_ranks == 1 or not is_loss or isinstance(own, VocabParallelLogits):
            return own
        mean = own.detach().clone()
        for axis in self.data_axes:
            dist.all_reduce(mean, group=self.mesh.get_group(axis))
        return mean / self.data_ranks

    def in_shard_order(self, full: Tensor, name: str) -> Tensor:
        """A full parameter in the order in which the ranks' shards lie one after the other: of a packed parameter,
        each rank has a slice of every part."""
        module, _, own = name.rpartition(".")
        for axis in self.lowered.tensor:
            shard = axis.modules[module].parameters.get(own) if module in axis.modules else None
            if shard is not None and shard.dim is not None and len(shard.part_sizes) > 1:
                ranks = self.mesh[axis.axis].size()
                full = torch.cat([local_shard(full, shard, rank, ranks) for rank in range(ranks)], shard.dim)
        return full


def batch_size(item: Any) -> int:
    """The size of the batch: the first dim of the first tensor that has more than one dim; 0: there is none."""
    return next((x.shape[0] for x in leaves(item, Tensor) if x.ndim > 1 and x.shape[0]), 0)


def _even_chunk(x: Tensor, dim: int, rank: int, ranks: int) -> Tensor:
    size = x.shape[dim] // ranks
    return x.narrow(dim, rank * size, size)
