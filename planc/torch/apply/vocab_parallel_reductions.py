"""Sums, extremes and chosen entries along the vocabulary. Each rank reduces its slice; small collectives do the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from planc.ir.lowered import LocalLayout
from planc.torch.apply.collectives import all_gather, all_reduce
from planc.torch.apply.redistribute import redistribute
from planc.torch.apply.vocab_parallel_softmax import result_dtype
from planc.torch.apply.vocab_slice import INVARIANT, VocabDims, VocabSlice, check_ids, dims_of, unsupported


def vocab_sum(
    x: VocabSlice, dim: VocabDims = None, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Tensor | VocabSlice:
    """`torch.sum` over any dims."""
    dims = dims_of(x, dim)
    if x.dim not in dims:
        return x.without(dims, x.local.sum(dims, keepdim, dtype=dtype), keepdim)
    return _wide_sum(x, dims, keepdim, dtype).to(dtype or result_dtype(torch.sum, x.local))


def vocab_mean(
    x: VocabSlice, dim: VocabDims = None, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Tensor | VocabSlice:
    """`torch.mean` over any dims."""
    dims = dims_of(x, dim)
    if x.dim not in dims:
        return x.without(dims, x.local.mean(dims, keepdim, dtype=dtype), keepdim)
    total = _wide_sum(x, dims, keepdim, dtype) / prod(x.shape[each] for each in dims)
    return total.to(dtype or result_dtype(torch.mean, x.local))


def vocab_any(x: VocabSlice, dim: VocabDims = None, keepdim: bool = False) -> Tensor | VocabSlice:
    """`torch.any` over any dims."""
    dims = dims_of(x, dim)
    found = x.local.bool().any(dims, keepdim)
    if x.dim not in dims:
        return x.without(dims, found, keepdim)
    return all_reduce(found.int(), x.group, "max").bool()


def vocab_all(x: VocabSlice, dim: VocabDims = None, keepdim: bool = False) -> Tensor | VocabSlice:
    """`torch.all` over any dims."""
    found = vocab_any(x.with_local(~x.local.bool()), dim, keepdim)
    return found.with_local(~found.local) if isinstance(found, VocabSlice) else ~found


def vocab_max(x: VocabSlice, dim: int | None = None, keepdim: bool = False) -> Any:
    """`torch.max` along the vocabulary: the values and the ids. Of equal logits it takes the first."""
    return torch.return_types.max(_extreme(x, torch.max, dim, keepdim))


def vocab_min(x: VocabSlice, dim: int | None = None, keepdim: bool = False) -> Any:
    """`torch.min` along the vocabulary: the values and the ids. Of equal logits it takes the first."""
    return torch.return_types.min(_extreme(x, torch.min, dim, keepdim))


def vocab_argmax(x: VocabSlice, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """`torch.argmax` along the vocabulary. Of equal logits it takes the first."""
    return _extreme(x.with_local(x.local.detach()), torch.max, dim, keepdim)[1]


def vocab_argmin(x: VocabSlice, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """`torch.argmin` along the vocabulary. Of equal logits it takes the first."""
    return _extreme(x.with_local(x.local.detach()), torch.min, dim, keepdim)[1]


def vocab_amax(x: VocabSlice, dim: VocabDims = (), keepdim: bool = False) -> Tensor:
    """`torch.amax` over dims with the vocabulary, of logits that need no gradient."""
    dims = dims_of(x, dim)
    if x.dim not in dims or x.local.requires_grad:
        # The gradient goes to equal logits in equal parts, and other ranks may have more of them.
        raise unsupported("'amax' of logits that need gradients, or over other dims; use 'max'")
    ranks = x.with_local(x.local.amax(dims, keepdim=True)).gather()
    top = ranks.amax(x.dim, keepdim=True)
    return top if keepdim else top.squeeze(dims)


def vocab_topk(x: VocabSlice, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:  # noqa: A002
    """`torch.topk` along the vocabulary."""
    _check_along_vocabulary(x, dim, "topk")
    if k > x.words:
        raise RuntimeError(f"selected index k out of range: {k} of {x.words}")
    each = x.local.topk(min(k, x.local.shape[x.dim]), x.dim, largest)
    best = x.with_local(each.values).gather().topk(k, x.dim, largest, sorted)
    ids = all_gather(each.indices + x.first, x.dim, x.group)
    return torch.return_types.topk((best.values, ids.gather(x.dim, best.indices)))


def vocab_gather(x: VocabSlice, dim: int, index: Tensor, sparse_grad: bool = False) -> Tensor:
    """`torch.gather` of chosen ids along the vocabulary."""
    _check_along_vocabulary(x, dim, "gather")
    return _chosen(x, index, lambda ids: x.local.gather(x.dim, ids))


def vocab_take_along_dim(x: VocabSlice, indices: Tensor, dim: int | None = None) -> Tensor:
    """`torch.take_along_dim` of chosen ids along the vocabulary."""
    _check_along_vocabulary(x, dim, "take_along_dim")
    return _chosen(x, indices, lambda ids: torch.take_along_dim(x.local, ids, x.dim))


def vocab_index(x: VocabSlice, index: Sequence[Any]) -> Tensor:
    """`x[rows, ids]`: a tensor of integers for each dim."""
    device = x.local.device
    items = [
        item.to(device) if isinstance(item, Tensor) else torch.tensor(item, device=device) for item in index
    ]
    if any(item.dtype != torch.int64 for item in items):
        raise unsupported(
            "indexing the vocabulary by anything but a tensor of ids, with one for each other dim"
        )
    items = list(torch.broadcast_tensors(*items))  # type: ignore[no-untyped-call]
    ids = items[x.dim]
    return _chosen(
        x,
        torch.where(ids < 0, ids + x.words, ids),
        lambda ids: x.local[(*items[: x.dim], ids, *items[x.dim + 1 :])],
    )


def _chosen(x: VocabSlice, ids: Tensor, take: Callable[[Tensor], Tensor]) -> Tensor:
    """The entries of chosen ids: the rank that holds an id takes its entry, the others add zero."""
    check_ids(ids, x.words, "Index")
    own, elsewhere = x.local_ids(ids)
    taken = take(own)
    return redistribute(taken.masked_fill(elsewhere, 0), LocalLayout("partial"), INVARIANT, x.group)


def _extreme(
    x: VocabSlice, function: Callable[..., Any], dim: int | None, keepdim: bool
) -> tuple[Tensor, Tensor]:
    """The largest or smallest logits, and their ids."""
    _check_along_vocabulary(x, dim, function.__name__)
    own = function(x.local, x.dim, keepdim=True)
    best = function(x.with_local(own.values).gather(), x.dim, keepdim=True)
    ids = all_gather(own.indices + x.first, x.dim, x.group).gather(x.dim, best.indices)
    return (best.values, ids) if keepdim else (best.values.squeeze(x.dim), ids.squeeze(x.dim))


def _check_along_vocabulary(x: VocabSlice, dim: int | None, name: str) -> None:
    if not isinstance(dim, int) or dims_of(x, dim) != [x.dim]:
        raise unsupported(f"'{name}' along another dim than the vocabulary")


def _wide_sum(x: VocabSlice, dims: list[int], keepdim: bool, dtype: torch.dtype | None) -> Tensor:
    """The sum over dims with the vocabulary, in float32 at least."""
    wide = dtype or x.local.dtype
    if wide.is_floating_point:
        dtype = torch.promote_types(wide, torch.float32)
    total = x.local.sum(dims, keepdim, dtype=dtype)
    return redistribute(total, LocalLayout("partial"), INVARIANT, x.group)
