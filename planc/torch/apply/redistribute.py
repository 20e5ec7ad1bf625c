"""Changes of layout and their duals: one collective forward, one backward.

The pairs are those of `planc.proof.boundary.transitions`: identity and all-reduce, all-gather and
reduce-scatter, slice and all-gather, ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.ir.errors import CallError
from planc.ir.lowered import LocalLayout
from planc.torch.apply.collectives import all_gather, all_reduce, all_to_all, reduce_scatter

_IDENTITY, _COPIED = "invariant replicated", "invariant replicated, copied"


def redistribute(x: Tensor, before: LocalLayout, after: LocalLayout, group: ProcessGroup) -> Tensor:
    """Change the layout of a tensor on one axis. Each rank of the group calls this.

    Args:
        x: this rank's tensor in the layout `before`: the full tensor, a slice, or a term of a sum.
    """
    return apply_redistribution(x, redistribution(before, after), group) if before != after else x


Redistribution = tuple[str, int, int]
"""Two layouts as plain data, which a compiler can trace: their kinds, and their dims, 0 where there is none. Negative
dims count from the last."""


def redistribution(before: LocalLayout, after: LocalLayout, *, written: bool = False) -> Redistribution:
    """The change from one layout to another, as plain data.

    Args:
        written: code changes the result in place. Autograd would refuse that for a view, which is the result where
            nothing but the gradient changes.
    """
    kinds = f"{before.kind} {after.kind}"
    return (_COPIED if written and kinds == _IDENTITY else kinds, before.dim or 0, after.dim or 0)


def dims_of_tensor(x: Tensor, change: Redistribution, ndims: tuple[int, ...] = ()) -> Redistribution:
    """The change of this very tensor: its dims counted from the first.

    Args:
        ndims: how many dims the plan is proved for; empty: any number.

    Raises:
        CallError: the tensor has another number.
    """
    kinds, before, after = change
    ndim = x.dim()
    if before < 0:
        before += ndim
    if after < 0:
        after += ndim
    if before < 0 or after < 0 or (ndims and ndim not in ndims):
        needed = " or ".join(map(str, ndims)) if ndims else "more"
        raise CallError(
            f"planc: a boundary of the plan gets a tensor of shape {tuple(x.shape)}, where the plan is proved for "
            f"{needed} dims; needed: a call like the captured one, or a capture with inputs like these"
        )
    return kinds, before, after


def apply_redistribution(x: Tensor, change: Redistribution, group: ProcessGroup) -> Tensor:
    """As `redistribute`, for layouts that differ, and with dims that count from the first."""
    result: Tensor = _RedistributeFunction.apply(x, *change, group)  # type: ignore[no-untyped-call]
    return result


class RedistributionCache:
    """Changes of layout on one side of one call. A tensor that is passed in several places is redistributed
    once, and stays one tensor inside of the boundary, as the proof saw it."""

    def __init__(self, group: ProcessGroup) -> None:
        self.group = group
        self._results: list[tuple[Tensor, Redistribution, Tensor]] = []

    def apply(
        self,
        x: Tensor,
        change: Redistribution,
        ndims: tuple[int, ...] = (),
        overlapped: Callable[[Tensor, int], Tensor | None] | None = None,
    ) -> Tensor:
        """Change the layout of a tensor, once.

        Args:
            ndims: as `dims_of_tensor` takes them.
            overlapped: a faster way to gather a tensor along a dim, which returns None where it is not possible.

        Raises:
            CallError: the plan is not proved for a tensor of so many dims.
        """
        for before, known, after in self._results:
            if before is x and known == change:
                return after
        own = dims_of_tensor(x, change, ndims)
        result = overlapped(x, own[1]) if overlapped is not None else None
        if result is None:
            result = apply_redistribution(x, own, self.group)
        self._results.append((x, change, result))
        return result


_INVARIANT_TO_REPLICATED: Redistribution = (_IDENTITY, 0, 0)


def all_reduce_grad(x: Tensor, group: ProcessGroup) -> Tensor:
    """The tensor itself, of any shape; its gradient is all-reduced over the group."""
    return apply_redistribution(x, _INVARIANT_TO_REPLICATED, group)


class _RedistributeFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kinds: str, before: int, after: int, group: ProcessGroup) -> Tensor:
        ctx.kinds, ctx.before, ctx.after, ctx.group = kinds, before, after, group
        return _forward(x, kinds, before, after, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        result = _backward(gradient, ctx.kinds, ctx.before, ctx.after, ctx.group)
        return result, None, None, None, None


def _forward(x: Tensor, kinds: str, before: int, after: int, group: ProcessGroup) -> Tensor:
    match kinds:
        case "shard replicated" | "shard invariant" | "shard constant":
            return all_gather(x, before, group)
        case "invariant shard" | "replicated shard" | "constant shard":
            return _local_slice(x, after, group)
        case "shard shard":
            return _all_to_all(x, before, after, group)
        case "partial invariant" | "partial replicated" | "partial constant":
            return all_reduce(x, group)
        case "partial shard":
            return _reduce_scatter(x, after, group)
    return x.clone() if kinds == _COPIED else x.view_as(x)


def _backward(gradient: Tensor, kinds: str, before: int, after: int, group: ProcessGroup) -> Tensor:
    match kinds:
        case "invariant replicated" | "invariant replicated, copied" | "partial replicated":
            return all_reduce(gradient, group)
        case "invariant shard" | "partial shard":
            return all_gather(gradient, after, group)
        case "replicated shard":
            return _zero_padded(gradient, after, group)
        case "shard replicated":
            return _reduce_scatter(gradient, before, group)
        case "shard invariant":
            return _local_slice(gradient, before, group)
        case "shard shard":
            return _all_to_all(gradient, after, before, group)
    return gradient


def _reduce_scatter(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    _check_divisible(x, dim, group)
    return reduce_scatter(x, dim, group)


def _local_slice(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    _check_divisible(x, dim, group)
    size = x.shape[dim] // group.size()
    # A copy also where the slice is contiguous: autograd lets code change no view of a custom function in place.
    return x.narrow(dim, group.rank() * size, size).clone(memory_format=torch.contiguous_format)


def _check_divisible(x: Tensor, dim: int, group: ProcessGroup) -> None:
    """The proof holds for the sizes of the graph: a sequence of another length may not divide by the ranks."""
    if x.shape[dim] % group.size():
        raise CallError(
            f"planc: {group.size()} ranks cannot split dim {dim} of a tensor of shape {tuple(x.shape)} evenly; "
            f"needed: a size that is a multiple of {group.size()}, for instance by padding the sequence"
        )


def _zero_padded(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """A full tensor with this rank's slice in its place and zeros elsewhere: the sum over ranks is the gathered one."""
    shape = [*x.shape[:dim], x.shape[dim] * group.size(), *x.shape[dim + 1 :]]
    padded = x.new_zeros(shape)
    padded.narrow(dim, group.rank() * x.shape[dim], x.shape[dim]).copy_(x)
    return padded


def _all_to_all(x: Tensor, before: int, after: int, group: ProcessGroup) -> Tensor:
    """Turn slices along one dim into slices along another."""
    ranks = group.size()
    _check_divisible(x, after, group)
    rows = torch.cat([piece.unsqueeze(0) for piece in x.chunk(ranks, after)], 0)
    return torch.cat(all_to_all(rows, group).unbind(0), before)
