"""The whole of a split tensor."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from planc.torch.compat import is_strided_shard


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole of a tensor, as a plain one; a plain one is given back. All ranks of its mesh must
    call this. Slices that rest on the CPU are brought together on the mesh's device, the only place
    where it can gather."""
    if not isinstance(tensor, DTensor):
        return tensor
    there: Any = tensor.to(tensor.device_mesh.device_type)
    strided = [is_strided_shard(placement) for placement in tensor.placements]
    if any(strided):
        # What FSDP has cut last is undone first; in one go torch warns that it takes two.
        left = [Replicate() if cut else own for cut, own in zip(strided, tensor.placements)]
        there = there.redistribute(placements=left)
    made: Tensor = there.full_tensor()
    return made
