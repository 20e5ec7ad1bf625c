"""The collectives that a process group is asked for directly, along any dim of a tensor, without gradients.

They stand in line on the current stream. A dim behind others, as the sequence behind the batch, has its slices apart
in memory: large ones are sent one by one in one call, from where they lie and to where they belong; small ones are
copied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    ReduceOp,
    ReduceScatterOptions,
    Work,
)
from torch.distributed import ProcessGroup

MIN_SLICE_BYTES = 1 << 20
"""Bytes from which a slice is sent by itself: below, the calls cost more than the copy."""
MAX_PIECES = 256
"""Slices up to which they are sent by themselves."""
_REDUCE_OPS = {"sum": ReduceOp(ReduceOp.SUM), "max": ReduceOp(ReduceOp.MAX)}


def all_reduce_tensor(x: Tensor, group: ProcessGroup, op: str) -> Tensor:
    """The sum, or what `how` says, of all ranks' tensors."""
    whole = x.clone(memory_format=torch.contiguous_format)
    options = AllreduceOptions()
    options.reduceOp, options.asyncOp = _REDUCE_OPS[op], False
    _wait_if_pending(group.allreduce([whole], options))
    return whole


def all_gather_into_tensor(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The ranks' slices, one behind the other along a dim."""
    x, ranks = x.contiguous(), group.size()
    if _sent_separately(x, dim, 1):
        whole, work = all_gather_coalesced(x, dim, group, async_op=False)
        _wait_if_pending(work)
        return whole
    whole = x.new_empty((ranks * x.shape[0], *x.shape[1:]))
    _wait_if_pending(group._allgather_base(whole, x, _all_gather_options(async_op=False)))
    return dim0_to_dim(whole, dim, ranks)


def all_gather_coalesced(
    x: Tensor, dim: int, group: ProcessGroup, async_op: bool = True
) -> tuple[Tensor, Work]:
    """The same, sent slice by slice, and whom to wait for; `later`: other work may run beside it."""
    x = x.contiguous()
    whole = x.new_empty((*x.shape[:dim], group.size() * x.shape[dim], *x.shape[dim + 1 :]))
    return whole, group.allgather_into_tensor_coalesced(
        _contiguous_pieces(whole, dim), _contiguous_pieces(x, dim), _all_gather_options(async_op)
    )


def reduce_scatter_tensor(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The rank's slice along a dim of the sum of all ranks' tensors; the ranks divide the dim."""
    x, ranks = x.contiguous(), group.size()
    if _sent_separately(x, dim, ranks):
        part, work = reduce_scatter_coalesced(x, dim, group, async_op=False)
        _wait_if_pending(work)
        return part
    part = x.new_empty((*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :]))
    _wait_if_pending(
        group._reduce_scatter_base(part, dim_to_dim0(x, dim, ranks), _reduce_scatter_options(async_op=False))
    )
    return part


def reduce_scatter_coalesced(
    x: Tensor, dim: int, group: ProcessGroup, async_op: bool = True
) -> tuple[Tensor, Work]:
    """The same, sent slice by slice, and whom to wait for; `later`: other work may run beside it."""
    x = x.contiguous()
    part = x.new_empty((*x.shape[:dim], x.shape[dim] // group.size(), *x.shape[dim + 1 :]))
    return part, group.reduce_scatter_tensor_coalesced(
        _contiguous_pieces(part, dim), _contiguous_pieces(x, dim), _reduce_scatter_options(async_op)
    )


def all_to_all_single(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-to-all: row r of (ranks, ...) goes to rank r; what comes from rank r is row r."""
    x, each = x.contiguous(), [1] * group.size()
    got = torch.empty_like(x)
    options = AllToAllOptions()
    options.asyncOp = False
    _wait_if_pending(group.alltoall_base(got, x, each, each, options))
    return got


def dim0_to_dim(whole: Tensor, dim: int, ranks: int) -> Tensor:
    """The ranks' slices as they come, behind each other along the first dim, behind each other along another dim."""
    shape = (whole.shape[0] // ranks, *whole.shape[1:])
    made = (*shape[:dim], ranks * shape[dim], *shape[dim + 1 :])
    if slices_are_contiguous(shape, dim):
        return whole.view(made)
    return whole.view(ranks, *shape).movedim(0, dim).reshape(made)


def dim_to_dim0(x: Tensor, dim: int, ranks: int) -> Tensor:
    """The reverse: the ranks' slices along a dim, behind each other along the first dim."""
    part = (*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :])
    made = (ranks * part[0], *part[1:])
    if slices_are_contiguous(x.shape, dim):
        return x.view(made)
    return x.view(*part[:dim], ranks, *part[dim:]).movedim(dim, 0).reshape(made)


def local_and_remote_rows(size: int, group: ProcessGroup) -> tuple[range, list[range]]:
    """Of a dim that the ranks share: the rank's rows, and those of the ranks before it and behind it."""
    each = size // group.size()
    own = range(group.rank() * each, (group.rank() + 1) * each)
    return own, [rest for rest in (range(own.start), range(own.stop, size)) if rest]


def slices_are_contiguous(shape: Sequence[int], dim: int) -> bool:
    """Whether slices along a dim lie one behind the other, as those of the first dim do."""
    return all(size == 1 for size in shape[:dim])


def num_pieces(x: Tensor, dim: int) -> int:
    """How many pieces of memory a slice along a dim is."""
    return prod(x.shape[:dim])


def _sent_separately(x: Tensor, dim: int, ranks: int) -> bool:
    """Whether each slice is sent by itself; `x` holds those of so many ranks."""
    count = num_pieces(x, dim)
    return 1 < count <= MAX_PIECES and x.numel() * x.element_size() >= MIN_SLICE_BYTES * count * ranks


def _contiguous_pieces(x: Tensor, dim: int) -> list[Tensor]:
    """What lies in one piece, when slices along a dim are cut."""
    return list(x.flatten(0, dim - 1).unbind(0)) if dim else [x]


def _all_gather_options(async_op: bool) -> AllgatherOptions:
    options = AllgatherOptions()
    options.asyncOp = async_op
    return options


def _reduce_scatter_options(async_op: bool) -> ReduceScatterOptions:
    options = ReduceScatterOptions()
    options.reduceOp, options.asyncOp = _REDUCE_OPS["sum"], async_op
    return options


def _wait_if_pending(work: Work | None) -> None:
    """A backend that has not put the call in line by itself does so here."""
    if work is not None:
        work.wait()
