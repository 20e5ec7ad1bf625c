"""What ranks send each other: four collectives along the first dim of a tensor, without gradients of their own.

Each has two ways. A functional one can be seen by a compiler, and by whoever looks on at operations
(selective recomputation keeps its results). Where nobody looks, the process group is asked directly: that spares the
processor a third of the call, and the GPU a change of streams.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    ReduceScatterOptions,
)
from torch.distributed import ProcessGroup, ReduceOp

_OPS = torch.ops._c10d_functional
"""Functional collectives: torch has kept their names since 2.3."""
_PLAIN = (Tensor, nn.Parameter)
_HOW = {"sum": ReduceOp(ReduceOp.SUM), "max": ReduceOp(ReduceOp.MAX)}


def reduced(x: Tensor, group: ProcessGroup, how: str = "sum") -> Tensor:
    """All-reduce: a tensor of the shape of `x`; `how` is sum or max."""
    if not _direct(x):
        return _waited(_OPS.all_reduce.default(x.contiguous(), how, group.group_name))
    whole = x.clone(memory_format=torch.contiguous_format)
    options = AllreduceOptions()
    options.reduceOp, options.asyncOp = _HOW[how], False
    _done(group.allreduce([whole], options))
    return whole


def gathered(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-gather: (n, ...) of each rank, one behind the other: (ranks * n, ...)."""
    x, ranks = x.contiguous(), group.size()
    if not _direct(x):
        return _waited(_OPS.all_gather_into_tensor.default(x, ranks, group.group_name))
    whole = x.new_empty((ranks * x.shape[0], *x.shape[1:]))
    options = AllgatherOptions()
    options.asyncOp = False
    _done(group._allgather_base(whole, x, options))
    return whole


def scattered(x: Tensor, group: ProcessGroup) -> Tensor:
    """Reduce-scatter: the rank's (n, ...) of the sum of all ranks' (ranks * n, ...)."""
    x, ranks = x.contiguous(), group.size()
    if not _direct(x):
        return _waited(_OPS.reduce_scatter_tensor.default(x, "sum", ranks, group.group_name))
    part = x.new_empty((x.shape[0] // ranks, *x.shape[1:]))
    options = ReduceScatterOptions()
    options.reduceOp, options.asyncOp = _HOW["sum"], False
    _done(group._reduce_scatter_base(part, x, options))
    return part


def exchanged(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-to-all: row r of (ranks, ...) goes to rank r; what comes from rank r is row r."""
    x, each = x.contiguous(), [1] * group.size()
    if not _direct(x):
        return _waited(_OPS.all_to_all_single.default(x, each, each, group.group_name))
    got = torch.empty_like(x)
    options = AllToAllOptions()
    options.asyncOp = False
    _done(group.alltoall_base(got, x, each, each, options))
    return got


def _direct(x: Tensor) -> bool:
    """Whether nobody looks on: no compiler, no dispatch mode, no subclass of tensors, no gradient of a gradient."""
    return not (
        torch.compiler.is_compiling()
        or torch.is_grad_enabled()
        or type(x) not in _PLAIN
        or torch._C._len_torch_dispatch_stack()
    )


def _done(work: torch.distributed.Work | None) -> None:
    """A backend that has not put the call in line on the current stream by itself does so here."""
    if work is not None:
        work.wait()


def _waited(x: Tensor) -> Tensor:
    done: Tensor = _OPS.wait_tensor.default(x)
    return done
