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

LARGE = 1 << 20
"""Bytes from which a slice is sent by itself: below, the calls cost more than the copy."""
MANY = 256
"""Slices up to which they are sent by themselves."""
_HOW = {"sum": ReduceOp(ReduceOp.SUM), "max": ReduceOp(ReduceOp.MAX)}


def all_reduced(x: Tensor, group: ProcessGroup, how: str) -> Tensor:
    """The sum, or what `how` says, of all ranks' tensors."""
    whole = x.clone(memory_format=torch.contiguous_format)
    options = AllreduceOptions()
    options.reduceOp, options.asyncOp = _HOW[how], False
    _done(group.allreduce([whole], options))
    return whole


def all_gathered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The ranks' slices, one behind the other along a dim."""
    x, ranks = x.contiguous(), group.size()
    if _apart(x, dim, 1):
        whole, work = gathering(x, dim, group, later=False)
        _done(work)
        return whole
    whole = x.new_empty((ranks * x.shape[0], *x.shape[1:]))
    _done(group._allgather_base(whole, x, _gather(later=False)))
    return behind(whole, dim, ranks)


def gathering(x: Tensor, dim: int, group: ProcessGroup, later: bool = True) -> tuple[Tensor, Work]:
    """The same, sent slice by slice, and whom to wait for; `later`: other work may run beside it."""
    x = x.contiguous()
    whole = x.new_empty((*x.shape[:dim], group.size() * x.shape[dim], *x.shape[dim + 1 :]))
    return whole, group.allgather_into_tensor_coalesced(_slices(whole, dim), _slices(x, dim), _gather(later))


def reduce_scattered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The rank's slice along a dim of the sum of all ranks' tensors; the ranks divide the dim."""
    x, ranks = x.contiguous(), group.size()
    if _apart(x, dim, ranks):
        part, work = scattering(x, dim, group, later=False)
        _done(work)
        return part
    part = x.new_empty((*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :]))
    _done(group._reduce_scatter_base(part, ahead(x, dim, ranks), _scatter(later=False)))
    return part


def scattering(x: Tensor, dim: int, group: ProcessGroup, later: bool = True) -> tuple[Tensor, Work]:
    """The same, sent slice by slice, and whom to wait for; `later`: other work may run beside it."""
    x = x.contiguous()
    part = x.new_empty((*x.shape[:dim], x.shape[dim] // group.size(), *x.shape[dim + 1 :]))
    return part, group.reduce_scatter_tensor_coalesced(_slices(part, dim), _slices(x, dim), _scatter(later))


def exchanged(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-to-all: row r of (ranks, ...) goes to rank r; what comes from rank r is row r."""
    x, each = x.contiguous(), [1] * group.size()
    got = torch.empty_like(x)
    options = AllToAllOptions()
    options.asyncOp = False
    _done(group.alltoall_base(got, x, each, each, options))
    return got


def behind(whole: Tensor, dim: int, ranks: int) -> Tensor:
    """The ranks' slices as they come, behind each other along the first dim, behind each other along another dim."""
    shape = (whole.shape[0] // ranks, *whole.shape[1:])
    made = (*shape[:dim], ranks * shape[dim], *shape[dim + 1 :])
    if is_first(shape, dim):
        return whole.view(made)
    return whole.view(ranks, *shape).movedim(0, dim).reshape(made)


def ahead(x: Tensor, dim: int, ranks: int) -> Tensor:
    """The reverse: the ranks' slices along a dim, behind each other along the first dim."""
    part = (*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :])
    made = (ranks * part[0], *part[1:])
    if is_first(x.shape, dim):
        return x.view(made)
    return x.view(*part[:dim], ranks, *part[dim:]).movedim(dim, 0).reshape(made)


def rows(size: int, group: ProcessGroup) -> tuple[range, list[range]]:
    """Of a dim that the ranks share: the rank's rows, and those of the ranks before it and behind it."""
    each = size // group.size()
    own = range(group.rank() * each, (group.rank() + 1) * each)
    return own, [rest for rest in (range(own.start), range(own.stop, size)) if rest]


def is_first(shape: Sequence[int], dim: int) -> bool:
    """Whether slices along a dim lie one behind the other, as those of the first dim do."""
    return all(size == 1 for size in shape[:dim])


def pieces(x: Tensor, dim: int) -> int:
    """How many pieces of memory a slice along a dim is."""
    return prod(x.shape[:dim])


def _apart(x: Tensor, dim: int, ranks: int) -> bool:
    """Whether each slice is sent by itself; `x` holds those of so many ranks."""
    count = pieces(x, dim)
    return 1 < count <= MANY and x.numel() * x.element_size() >= LARGE * count * ranks


def _slices(x: Tensor, dim: int) -> list[Tensor]:
    """What lies in one piece, when slices along a dim are cut."""
    return list(x.flatten(0, dim - 1).unbind(0)) if dim else [x]


def _gather(later: bool) -> AllgatherOptions:
    options = AllgatherOptions()
    options.asyncOp = later
    return options


def _scatter(later: bool) -> ReduceScatterOptions:
    options = ReduceScatterOptions()
    options.reduceOp, options.asyncOp = _HOW["sum"], later
    return options


def _done(work: Work | None) -> None:
    """A backend that has not put the call in line by itself does so here."""
    if work is not None:
        work.wait()
