"""Which part of a whole tensor a rank holds."""

from __future__ import annotations

from typing import Any

from torch.distributed.tensor import DTensor, Shard

from planc.torch.compat import is_strided_shard

SliceBounds = tuple[tuple[int, int], ...]
"""Of each dim, the first index and the length."""


def local_slice(tensor: DTensor) -> SliceBounds:
    """Where a rank's slice lies in the whole.

    FSDP cuts what tensor parallelism left: its shard, if along the same dim, is called strided and
    comes last, whatever the order of the mesh's axes.
    """
    mesh = tensor.device_mesh
    box = [(0, size) for size in tensor.shape]
    strided = [is_strided_shard(placement) for placement in tensor.placements]
    for axis in sorted(range(mesh.ndim), key=lambda axis: strided[axis]):
        placement: Any = tensor.placements[axis]
        if isinstance(placement, Shard) or strided[axis]:
            first, size = box[placement.dim]
            each = -(-size // mesh.size(axis))
            start = min(each * mesh.get_local_rank(axis), size)
            box[placement.dim] = (first + start, min(each, size - start))
        elif placement.is_partial():
            raise ValueError(f"a tensor of parts of a sum, {tensor.placements}, has no slices")
    return tuple(box)
