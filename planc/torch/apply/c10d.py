"""Collectives of a process group along any dim of a tensor, without gradients.

They run on the current stream. Slices along a dim that follows others, as the sequence follows the batch, are
not contiguous in memory: large slices are sent piece by piece in one coalesced call, from where they lie to where
they belong; small ones are copied together first.

Tensors are of any dtype and strides (`sendable`). A result is no view: autograd lets code change it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup, ReduceOp, Work
from torch.distributed.distributed_c10d import ReduceScatterOptions

from planc.torch.apply.compat import unsafe_view
from planc.torch.apply.sendable import as_sent, contiguous
from planc.torch.compat import all_gather_options

MIN_SLICE_BYTES = 1 << 20
"""Bytes from which a piece is sent by itself: below, the calls cost more than the copy."""
MAX_PIECES = 256
"""The most pieces that are sent by themselves."""
_REDUCE_OPS = {"sum": ReduceOp.SUM, "max": ReduceOp.MAX}
# Newer releases of torch warn of the names with `tensor`.
_ALL_GATHER: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_REDUCE_SCATTER: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def all_reduce_tensor(x: Tensor, group: ProcessGroup, op: str) -> Tensor:
    """The sum or the maximum of all ranks' tensors.

    Args:
        x: of one shape on all ranks.
        op: `sum` or `max`.
    """
    reduced = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(as_sent(reduced), _REDUCE_OPS[op], group)
    return reduced


def all_gather_into_tensor(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """Concatenate the ranks' slices along a dim: (..., n, ...) becomes (..., ranks * n, ...)."""
    x, ranks = contiguous(x), group.size()
    if _sent_separately(x, dim, 1):
        gathered, work = all_gather_coalesced(x, dim, group, async_op=False)
        _wait_if_pending(work)
        return gathered
    stacked_shape = (ranks * x.shape[0], *x.shape[1:])
    if slices_are_contiguous(x.shape, dim):
        gathered = x.new_empty((*x.shape[:dim], ranks * x.shape[dim], *x.shape[dim + 1 :]))
        _ALL_GATHER(as_sent(gathered.view(stacked_shape)), as_sent(x), group=group)
        return gathered
    stacked = x.new_empty(stacked_shape)
    _ALL_GATHER(as_sent(stacked), as_sent(x), group=group)
    return dim0_to_dim(stacked, dim, ranks)


def all_gather_coalesced(
    x: Tensor, dim: int, group: ProcessGroup, async_op: bool = True
) -> tuple[Tensor, Work]:
    """As `all_gather_into_tensor`, piece by piece.

    Returns:
        The gathered tensor, and the work to wait for before it is used. With `async_op`, other kernels run
        during the collective.
    """
    x = contiguous(x)
    gathered = x.new_empty((*x.shape[:dim], group.size() * x.shape[dim], *x.shape[dim + 1 :]))
    outputs, inputs = _contiguous_pieces(as_sent(gathered), dim), _contiguous_pieces(as_sent(x), dim)
    work = group.allgather_into_tensor_coalesced(outputs, inputs, all_gather_options(async_op))
    return gathered, work


def reduce_scatter_tensor(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's slice along a dim of the sum of all ranks' tensors: (..., ranks * n, ...) becomes
    (..., n, ...)."""
    x, ranks = contiguous(x), group.size()
    if _sent_separately(x, dim, ranks):
        own, work = reduce_scatter_coalesced(x, dim, group, async_op=False)
        _wait_if_pending(work)
        return own
    own = x.new_empty((*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :]))
    _REDUCE_SCATTER(as_sent(own), as_sent(dim_to_dim0(x, dim, ranks)), group=group)
    return own


def reduce_scatter_coalesced(
    x: Tensor, dim: int, group: ProcessGroup, async_op: bool = True
) -> tuple[Tensor, Work]:
    """As `reduce_scatter_tensor`, piece by piece.

    Returns:
        This rank's slice, and the work to wait for before it is used. With `async_op`, other kernels run
        during the collective.
    """
    x = contiguous(x)
    own = x.new_empty((*x.shape[:dim], x.shape[dim] // group.size(), *x.shape[dim + 1 :]))
    options = ReduceScatterOptions()
    options.reduceOp, options.asyncOp = ReduceOp(ReduceOp.SUM), async_op
    outputs, inputs = _contiguous_pieces(as_sent(own), dim), _contiguous_pieces(as_sent(x), dim)
    return own, group.reduce_scatter_tensor_coalesced(outputs, inputs, options)


def all_to_all_single(x: Tensor, group: ProcessGroup) -> Tensor:
    """Exchange rows: row r of (ranks, ...) goes to rank r; row r of the result comes from rank r."""
    x = contiguous(x)
    received = torch.empty_like(x)
    dist.all_to_all_single(as_sent(received), as_sent(x), group=group)
    return received


def dim0_to_dim(gathered: Tensor, dim: int, ranks: int) -> Tensor:
    """Rearrange the ranks' slices, concatenated along the first dim, so that they are concatenated along `dim`.

    `gathered` is used up: the result may lie in its memory.
    """
    shape = (gathered.shape[0] // ranks, *gathered.shape[1:])
    full_shape = (*shape[:dim], ranks * shape[dim], *shape[dim + 1 :])
    if slices_are_contiguous(shape, dim):
        return unsafe_view(gathered, full_shape)
    moved = gathered.view(ranks, *shape).movedim(0, dim)
    return unsafe_view(moved.clone(memory_format=torch.contiguous_format), full_shape)


def dim_to_dim0(x: Tensor, dim: int, ranks: int) -> Tensor:
    """The reverse of `dim0_to_dim`: the ranks' slices along `dim`, concatenated along the first dim."""
    shape = (*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :])
    stacked_shape = (ranks * shape[0], *shape[1:])
    if slices_are_contiguous(x.shape, dim):
        return x.view(stacked_shape)
    moved = x.view(*shape[:dim], ranks, *shape[dim:]).movedim(dim, 0)
    return moved.reshape(stacked_shape).contiguous()  # the shape may allow a view with gaps


def local_and_remote_rows(size: int, group: ProcessGroup) -> tuple[range, list[range]]:
    """This rank's rows of a dim of `size` that the ranks share, and the rows before and after them."""
    each = size // group.size()
    local = range(group.rank() * each, (group.rank() + 1) * each)
    return local, [rows for rows in (range(local.start), range(local.stop, size)) if rows]


def slices_are_contiguous(shape: Sequence[int], dim: int) -> bool:
    """Whether slices along a dim are contiguous in memory, as those of the first dim are."""
    return all(size == 1 for size in shape[:dim])


def num_pieces(x: Tensor, dim: int) -> int:
    """How many contiguous pieces of memory a slice along a dim has."""
    return prod(x.shape[:dim])


def _sent_separately(x: Tensor, dim: int, ranks: int) -> bool:
    """Whether each piece is sent by itself; `x` contains the slices of so many ranks."""
    count = num_pieces(x, dim)
    return 1 < count <= MAX_PIECES and x.numel() * x.element_size() >= MIN_SLICE_BYTES * count * ranks


def _contiguous_pieces(x: Tensor, dim: int) -> list[Tensor]:
    """Views of the pieces into which slices along a dim are cut."""
    return list(x.flatten(0, dim - 1).unbind(0)) if dim else [x]


def _wait_if_pending(work: Work | None) -> None:
    """Some backends do not put the collective on the current stream before they return."""
    if work is not None:
        work.wait()
