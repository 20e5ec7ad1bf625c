"""The bounds of a rank's slice in the full tensor."""

from __future__ import annotations

from typing import Any

from torch.distributed.tensor import DTensor, Shard

from planc.torch.compat import is_strided_shard

SliceBounds = tuple[tuple[int, int], ...]
"""For each dim, the first index and the length."""


def local_slice(tensor: DTensor) -> SliceBounds:
    """The bounds of this rank's slice in the full tensor.

    FSDP2 shards what tensor parallelism left: where both shard the same dim, its placement is strided and
    applies last, in any order of the mesh's axes.

    Raises:
        ValueError: the tensor has partial placements.
    """
    mesh = tensor.device_mesh
    bounds = [(0, size) for size in tensor.shape]
    strided = [is_strided_shard(placement) for placement in tensor.placements]
    for axis in sorted(range(mesh.ndim), key=lambda axis: strided[axis]):
        placement: Any = tensor.placements[axis]
        if isinstance(placement, Shard) or strided[axis]:
            first, size = bounds[placement.dim]
            each = -(-size // mesh.size(axis))
            start = min(each * mesh.get_local_rank(axis), size)
            bounds[placement.dim] = (first + start, min(each, size - start))
        elif placement.is_partial():
            raise ValueError(f"a tensor with partial placements, {tensor.placements}, has no slices")
    return tuple(bounds)
