"""Collectives without gradients, along any dim of a tensor. Each has three implementations:

- In eager code, planc calls the process group. Compared to functional collectives, that saves a third of the
  CPU time of a call, and on GPUs changes of streams and copies.
- Functional collectives are visible to a compiler, and to dispatch modes such as that of selective recomputation.
- In compiled code, slices that are not contiguous go through an operator of planc that calls the process group.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.torch.apply import c10d
from planc.torch.apply.compat import unsafe_view
from planc.torch.apply.sendable import addition_dtype, as_received, as_sent, contiguous
from planc.torch.compat import FUNCTIONAL_COLLECTIVES as _OPS
from planc.torch.compat import dispatch_mode_depth, group_by_name

_PLAIN_TYPES = (Tensor, nn.Parameter)


def all_reduce(x: Tensor, group: ProcessGroup, op: str = "sum") -> Tensor:
    """The sum of all ranks' tensors, or their maximum, of the shape of `x`.

    Args:
        op: `sum` or `max`.
    """
    wide = addition_dtype(x.dtype)
    if wide != x.dtype:
        return all_reduce(x.to(wide), group, op).to(x.dtype)
    if _calls_c10d(x):
        return c10d.all_reduce_tensor(x, group, op)
    reduced = _wait(_OPS.all_reduce.default(as_sent(contiguous(x)), op, group.group_name))
    return as_received(reduced, x.dtype)


def all_gather(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """Concatenate the ranks' slices along a dim: (..., n, ...) becomes (..., ranks * n, ...)."""
    if _calls_c10d(x):
        return c10d.all_gather_into_tensor(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not c10d.slices_are_contiguous(x.shape, dim):
        gathered: Tensor = _all_gather_op(x, dim, ranks, group.group_name)
        return gathered
    stacked = _wait(_OPS.all_gather_into_tensor.default(as_sent(contiguous(x)), ranks, group.group_name))
    return as_received(c10d.dim0_to_dim(stacked, dim, ranks), x.dtype)


def reduce_scatter(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's slice along a dim of the sum of all ranks' tensors. The size of the dim must be a multiple of
    the ranks."""
    wide = addition_dtype(x.dtype)
    if wide != x.dtype:
        return reduce_scatter(x.to(wide), dim, group).to(x.dtype)
    if _calls_c10d(x):
        return c10d.reduce_scatter_tensor(x, dim, group)
    ranks = group.size()
    if torch.compiler.is_compiling() and not c10d.slices_are_contiguous(x.shape, dim):
        result: Tensor = _reduce_scatter_op(x, dim, ranks, group.group_name)
        return result
    stacked = c10d.dim_to_dim0(as_sent(contiguous(x)), dim, ranks)
    own = _wait(_OPS.reduce_scatter_tensor.default(stacked, "sum", ranks, group.group_name))
    shape = (*x.shape[:dim], x.shape[dim] // ranks, *stacked.shape[dim + 1 :])
    return as_received(unsafe_view(own, shape), x.dtype)


def all_to_all(x: Tensor, group: ProcessGroup) -> Tensor:
    """Exchange rows: row r of (ranks, ...) goes to rank r; row r of the result comes from rank r."""
    if _calls_c10d(x):
        return c10d.all_to_all_single(x, group)
    splits = [1] * group.size()
    sent = as_sent(contiguous(x))
    received = _wait(_OPS.all_to_all_single.default(sent, splits, splits, group.group_name))
    return as_received(received, x.dtype)


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
    """Whether neither a compiler nor a dispatch mode nor a subclass of tensors traces operations on a tensor."""
    return not (torch.compiler.is_compiling() or type(x) not in _PLAIN_TYPES or dispatch_mode_depth())


def _calls_c10d(x: Tensor) -> bool:
    """Whether the process group can be called: a gradient of a gradient needs functional collectives."""
    return is_untraced(x) and not torch.is_grad_enabled()


def _wait(x: Tensor) -> Tensor:
    waited: Tensor = _OPS.wait_tensor.default(x)
    return waited
