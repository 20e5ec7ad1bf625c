"""The softmax over the vocabulary, its logarithm, and the logarithm of its denominator.

Each rank reduces its slice, and small collectives put the results together: one number a row for the maximum, one for
the sum, and in the backward pass of a softmax one more. Sums are float32 or wider; results have torch's dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.torch.apply.collectives import all_reduce
from planc.torch.apply.vocab_slice import VocabDims, VocabSlice, dims_of, unsupported


def vocab_log_softmax(
    x: VocabSlice, dim: int | None = None, *rest: Any, dtype: torch.dtype | None = None, **_: Any
) -> VocabSlice:
    """`log_softmax` along the vocabulary. `rest` is a dtype, or a number that `F.log_softmax` ignores."""
    return _softmax(x, torch.log_softmax, dim, (dtype, *rest))


def vocab_softmax(
    x: VocabSlice, dim: int | None = None, *rest: Any, dtype: torch.dtype | None = None, **_: Any
) -> VocabSlice:
    """`softmax` along the vocabulary. `rest` is a dtype, or a number that `F.softmax` ignores."""
    return _softmax(x, torch.softmax, dim, (dtype, *rest))


def vocab_logsumexp(x: VocabSlice, dim: VocabDims, keepdim: bool = False) -> Tensor:
    """`logsumexp` over the vocabulary."""
    if dims_of(x, dim) != [x.dim]:
        raise unsupported("'logsumexp' over other dims than the vocabulary")
    total: Tensor = _LogSumExpFunction.apply(x.local, x.dim, x.group)  # type: ignore[no-untyped-call]
    total = total.to(result_dtype(torch.logsumexp, x.local))
    return total if keepdim else total.squeeze(x.dim)


def result_dtype(reduction: Callable[[Tensor, int], Tensor], x: Tensor) -> torch.dtype:
    """The dtype that torch gives the result of a reduction, also under autocast."""
    return reduction(x.new_empty((0, 1)), -1).dtype


def _softmax(
    x: VocabSlice, function: Callable[[Tensor, int], Tensor], dim: int | None, dtypes: tuple[Any, ...]
) -> VocabSlice:
    is_log = function is torch.log_softmax
    if dim is None or dims_of(x, dim) != [x.dim]:
        raise unsupported(f"'{'log_' * is_log}softmax' along another dim than the vocabulary")
    given = next((item for item in dtypes if isinstance(item, torch.dtype)), None)
    dtype = given or result_dtype(function, x.local)
    local: Tensor = _SoftmaxFunction.apply(x.local, x.dim, x.group, is_log, dtype)  # type: ignore[no-untyped-call]
    return x.with_local(local)


class _SoftmaxFunction(torch.autograd.Function):
    """The softmax, or its logarithm."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dim: int, group: ProcessGroup, is_log: bool, dtype: torch.dtype
    ) -> Tensor:
        wide = _widened(x, dtype)
        result = wide - _log_sum_exp(wide, dim, group)
        result = (result if is_log else result.exp_()).to(dtype)
        ctx.save_for_backward(result)
        ctx.dim, ctx.group, ctx.is_log, ctx.dtype = dim, group, is_log, x.dtype
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        (result,) = ctx.saved_tensors
        grad, result = _widened(grad, grad.dtype), _widened(result, grad.dtype)
        if not ctx.is_log:
            grad = grad * result
        total = all_reduce(grad.sum(ctx.dim, keepdim=True), ctx.group)
        grad = grad - total * (result.exp() if ctx.is_log else result)
        return grad.to(ctx.dtype), None, None, None, None


class _LogSumExpFunction(torch.autograd.Function):
    """The logarithm of the sum of the exponentials, in float32 at least; the dim stays, with one entry."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
        total = _log_sum_exp(_widened(x, x.dtype), dim, group)
        ctx.save_for_backward(x, total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, total = ctx.saved_tensors
        return (grad * (x.to(total.dtype) - total).exp()).to(x.dtype), None, None


def _widened(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(torch.promote_types(dtype, torch.float32))


def _log_sum_exp(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    top = all_reduce(x.amax(dim, keepdim=True), group, "max")
    top = top.masked_fill(top.isinf(), 0)
    return all_reduce((x - top).exp_().sum(dim, keepdim=True), group).log_() + top
