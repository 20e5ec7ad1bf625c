"""What ranks send each other, without gradients of its own. Each collective has three ways:

- Where nobody looks on, the process group is asked directly. That spares the processor a third of the call, the GPU a
  change of streams, and copies.
- Functional ones can be seen: by a compiler, and by who looks on at operations, as selective recomputation does.
- In what is compiled, slices that lie apart go through an operation of planc's that asks directly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import (  # type: ignore[attr-defined]
    GroupName,
    _resolve_process_group,
)

from planc.torch.apply import direct

_OPS = torch.ops._c10d_functional
"""Functional collectives: torch has kept their names since 2.3."""
_PLAIN = (Tensor, nn.Parameter)


def reduced(x: Tensor, group: ProcessGroup, how: str = "sum") -> Tensor:
    """All-reduce: a tensor of the shape of `x`; `how` is sum or max."""
    if _direct(x):
        return direct.all_reduced(x, group, how)
    return _waited(_OPS.all_reduce.default(x.contiguous(), how, group.group_name))


def gathered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """All-gather: the ranks' slices, one behind the other along a dim."""
    if _direct(x):
        return direct.all_gathered(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not direct.is_first(x.shape, dim):
        joined: Tensor = _gathered(x, dim, ranks, group.group_name)
        return joined
    whole = _waited(_OPS.all_gather_into_tensor.default(x.contiguous(), ranks, group.group_name))
    return direct.behind(whole, dim, ranks)


def scattered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """Reduce-scatter: the rank's slice along a dim of the sum of all ranks' tensors; the ranks divide the dim."""
    if _direct(x):
        return direct.reduce_scattered(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not direct.is_first(x.shape, dim):
        own: Tensor = _scattered(x, dim, ranks, group.group_name)
        return own
    sent = direct.ahead(x.contiguous(), dim, ranks)
    part = _waited(_OPS.reduce_scatter_tensor.default(sent, "sum", ranks, group.group_name))
    return part.view(*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :])


def exchanged(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-to-all: row r of (ranks, ...) goes to rank r; what comes from rank r is row r."""
    if _direct(x):
        return direct.exchanged(x, group)
    each = [1] * group.size()
    return _waited(_OPS.all_to_all_single.default(x.contiguous(), each, each, group.group_name))


@torch.library.custom_op("planc::all_gather", mutates_args=())
def _gathered(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return direct.all_gathered(x, dim, group_of(group))


@_gathered.register_fake
def _(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return x.new_empty((*x.shape[:dim], ranks * x.shape[dim], *x.shape[dim + 1 :]))


@torch.library.custom_op("planc::reduce_scatter", mutates_args=())
def _scattered(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return direct.reduce_scattered(x, dim, group_of(group))


@_scattered.register_fake
def _(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return x.new_empty((*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :]))


def group_of(name: str) -> ProcessGroup:
    """The process group of a name."""
    group: ProcessGroup = _resolve_process_group(GroupName(name))
    return group


def unseen(x: Tensor) -> bool:
    """Whether nobody looks on at what is done with a tensor: no compiler, no dispatch mode, no subclass of tensors."""
    return not (
        torch.compiler.is_compiling() or type(x) not in _PLAIN or torch._C._len_torch_dispatch_stack()
    )


def _direct(x: Tensor) -> bool:
    """Whether the process group may be asked: a gradient of a gradient goes through functional collectives."""
    return unseen(x) and not torch.is_grad_enabled()


def _waited(x: Tensor) -> Tensor:
    done: Tensor = _OPS.wait_tensor.default(x)
    return done
