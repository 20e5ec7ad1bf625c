"""Full tensors of DTensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from planc.torch.compat import is_strided_shard


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor of a DTensor; a plain tensor is returned as it is. All ranks of its mesh must call this.

    Shards that are offloaded to the CPU are gathered on the mesh's device: its groups can send only from there.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    on_mesh: Any = tensor.to(tensor.device_mesh.device_type)
    strided = [is_strided_shard(placement) for placement in tensor.placements]
    if any(strided):
        # FSDP2 sharded last, so its shards are gathered first. Both at once would do the same, with a warning.
        remaining = [Replicate() if by_fsdp else own for by_fsdp, own in zip(strided, tensor.placements)]
        on_mesh = on_mesh.redistribute(placements=remaining)
    full: Tensor = on_mesh.full_tensor()
    return full
