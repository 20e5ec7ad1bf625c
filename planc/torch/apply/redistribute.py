"""Changes of layout with their duals: one collective forward, one backward.

The pairs are those of `planc.proof.boundary.transitions`: identity and all-reduce, all-gather and
reduce-scatter, slice and all-gather, ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.ir.lowered import LocalLayout
from planc.torch.apply.collectives import all_gather, all_reduce, all_to_all, reduce_scatter


def redistribute(x: Tensor, before: LocalLayout, after: LocalLayout, group: ProcessGroup) -> Tensor:
    """Bring a tensor from one layout to another; each rank of the group calls this."""
    return apply_redistribution(x, redistribution(before, after), group) if before != after else x


Redistribution = tuple[str, int, int]
"""Two layouts as plain data, which a compiler can follow: their kinds, and their dims or -1."""


def redistribution(before: LocalLayout, after: LocalLayout) -> Redistribution:
    """The change from one layout to another."""
    dims = (-1 if before.dim is None else before.dim, -1 if after.dim is None else after.dim)
    return (f"{before.kind} {after.kind}", *dims)


def apply_redistribution(x: Tensor, change: Redistribution, group: ProcessGroup) -> Tensor:
    """As `bring`, of layouts that differ."""
    moved: Tensor = _RedistributeFunction.apply(x, *change, group)  # type: ignore[no-untyped-call]
    return moved


class RedistributionCache:
    """Changes of layout on one side of one call. A tensor that stands in several places is brought
    over once, and is one tensor behind the boundary too, as the proof saw it."""

    def __init__(self, group: ProcessGroup) -> None:
        self.group = group
        self._done: list[tuple[Tensor, Redistribution, Tensor]] = []

    def apply(
        self, x: Tensor, change: Redistribution, overlapped: Callable[[Tensor], Tensor | None] | None = None
    ) -> Tensor:
        """As `move`; `begin` does it in a better way, where it gives something."""
        for before, known, after in self._done:
            if before is x and known == change:
                return after
        made = overlapped(x) if overlapped is not None else None
        if made is None:
            made = apply_redistribution(x, change, self.group)
        self._done.append((x, change, made))
        return made


_INVARIANT_TO_REPLICATED: Redistribution = ("invariant replicated", -1, -1)


def all_reduce_grad(x: Tensor, group: ProcessGroup) -> Tensor:
    """The tensor itself; its gradient is summed over the group."""
    return apply_redistribution(x, _INVARIANT_TO_REPLICATED, group)


class _RedistributeFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kinds: str, before: int, after: int, group: ProcessGroup) -> Tensor:
        ctx.kinds, ctx.before, ctx.after, ctx.group = kinds, before, after, group
        return _forward(x, kinds, before, after, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        moved = _backward(gradient, ctx.kinds, ctx.before, ctx.after, ctx.group)
        return moved, None, None, None, None


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
    return x.view_as(x)


def _backward(gradient: Tensor, kinds: str, before: int, after: int, group: ProcessGroup) -> Tensor:
    match kinds:
        case "invariant replicated" | "partial replicated":
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
    return x.narrow(dim, group.rank() * size, size).contiguous()


def _check_divisible(x: Tensor, dim: int, group: ProcessGroup) -> None:
    """The proof is of the sizes of the graph; other sequences may be of a length that ranks cannot share."""
    if x.shape[dim] % group.size():
        raise ValueError(
            f"planc: dim {dim} of a tensor of shape {tuple(x.shape)} is to be split over {group.size()} ranks; "
            f"needed: a size that {group.size()} divides, as by padding the sequence"
        )


def _zero_padded(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's slice among zeros: the ranks' sum is the whole."""
    shape = [*x.shape[:dim], x.shape[dim] * group.size(), *x.shape[dim + 1 :]]
    whole = x.new_zeros(shape)
    whole.narrow(dim, group.rank() * x.shape[dim], x.shape[dim]).copy_(x)
    return whole


def _all_to_all(x: Tensor, before: int, after: int, group: ProcessGroup) -> Tensor:
    """All-to-all: slices along one dim become slices along another."""
    ranks = group.size()
    _check_divisible(x, after, group)
    sent = torch.cat([piece.unsqueeze(0) for piece in x.chunk(ranks, after)], 0)
    return torch.cat(all_to_all(sent, group).unbind(0), before)
