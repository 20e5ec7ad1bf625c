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

from planc.torch.apply import c10d
from planc.torch.compat import FUNCTIONAL_COLLECTIVES as _OPS
from planc.torch.compat import dispatch_mode_depth, group_by_name

_PLAIN_TYPES = (Tensor, nn.Parameter)


def all_reduce(x: Tensor, group: ProcessGroup, op: str = "sum") -> Tensor:
    """All-reduce: a tensor of the shape of `x`; `how` is sum or max."""
    if _calls_c10d(x):
        return c10d.all_reduce_tensor(x, group, op)
    return _wait(_OPS.all_reduce.default(x.contiguous(), op, group.group_name))


def all_gather(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """All-gather: the ranks' slices, one behind the other along a dim."""
    if _calls_c10d(x):
        return c10d.all_gather_into_tensor(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not c10d.slices_are_contiguous(x.shape, dim):
        joined: Tensor = _all_gather_op(x, dim, ranks, group.group_name)
        return joined
    whole = _wait(_OPS.all_gather_into_tensor.default(x.contiguous(), ranks, group.group_name))
    return c10d.dim0_to_dim(whole, dim, ranks)


def reduce_scatter(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """Reduce-scatter: the rank's slice along a dim of the sum of all ranks' tensors; the ranks divide the dim."""
    if _calls_c10d(x):
        return c10d.reduce_scatter_tensor(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not c10d.slices_are_contiguous(x.shape, dim):
        own: Tensor = _reduce_scatter_op(x, dim, ranks, group.group_name)
        return own
    sent = c10d.dim_to_dim0(x.contiguous(), dim, ranks)
    part = _wait(_OPS.reduce_scatter_tensor.default(sent, "sum", ranks, group.group_name))
    return part.view(*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :])


def all_to_all(x: Tensor, group: ProcessGroup) -> Tensor:
    """All-to-all: row r of (ranks, ...) goes to rank r; what comes from rank r is row r."""
    if _calls_c10d(x):
        return c10d.all_to_all_single(x, group)
    each = [1] * group.size()
    return _wait(_OPS.all_to_all_single.default(x.contiguous(), each, each, group.group_name))


@torch.library.custom_op("planc::all_gather", mutates_args=())
def _all_gather_op(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return c10d.all_gather_into_tensor(x, dim, group_by_name(group))


@_all_gather_op.register_fake
def _(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return x.new_empty((*x.shape[:dim], ranks * x.shape[dim], *x.shape[dim + 1 :]))


@torch.library.custom_op("planc::reduce_scatter", mutates_args=())
def _reduce_scatter_op(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return c10d.reduce_scatter_tensor(x, dim, group_by_name(group))


@_reduce_scatter_op.register_fake
def _(x: Tensor, dim: int, ranks: int, group: str) -> Tensor:
    return x.new_empty((*x.shape[:dim], x.shape[dim] // ranks, *x.shape[dim + 1 :]))


def is_untraced(x: Tensor) -> bool:
    """Whether nobody looks on at what is done with a tensor: no compiler, no dispatch mode, no subclass of tensors."""
    return not (torch.compiler.is_compiling() or type(x) not in _PLAIN_TYPES or dispatch_mode_depth())


def _calls_c10d(x: Tensor) -> bool:
    """Whether the process group may be asked: a gradient of a gradient goes through functional collectives."""
    return is_untraced(x) and not torch.is_grad_enabled()


def _wait(x: Tensor) -> Tensor:
    done: Tensor = _OPS.wait_tensor.default(x)
    return done
