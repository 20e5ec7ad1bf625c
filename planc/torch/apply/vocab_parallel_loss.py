"""`loss vocab_parallel`: cross entropy on logits that stay split over the vocabulary.

What leaves the model is a `SplitLogits`: a tensor that shows the whole shape while each rank holds
its slice along the last dim. `F.cross_entropy` works on it as users write it, and so do the few
things that are done to logits on the way there. Everything else raises, and says how to gather.

For a row of logits x, its target t, V classes and label smoothing a, with m = max(x),
z = sum(exp(x - m)), h = x[t] - m and u = sum(x - m):

    loss = log z - (1 - a) h - a u / V
    dx   = exp(x - m) / z - (1 - a) [x is at t] - a / V

m is one all-reduce of a number per row; z and h, and with label smoothing u, are stacked into a
second one. The backward pass computes the rank's slice of dx from what the forward pass left: no
communication. Sums are float32 or wider; the loss has the dtype that `F.cross_entropy` gives it.

torch has `loss_parallel` for DTensors. It is not used: it asks for a context around the loss and
its backward pass, and without that the logits are gathered silently; it knows no label
smoothing, and on a mesh of two axes no mean; and it keeps log-probabilities of the logits' size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from planc.torch.apply.collectives import all_reduce
from planc.torch.compat import assert_async


def vocab_parallel_cross_entropy(
    x: Tensor,
    target: Tensor,
    group: ProcessGroup,
    *,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """`F.cross_entropy` of the rank's slice of logits (rows, classes) or (classes) with whole targets."""
    if target.is_floating_point():
        raise TypeError("cross_entropy on split logits takes the indices of classes, no probabilities")
    if target.shape != x.shape[:-1]:
        raise ValueError(f"Expected target size {list(x.shape[:-1])}, got {list(target.shape)}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    _check_targets(target, ignore_index, x.shape[-1] * group.size())
    rows, flat = x.reshape(-1, x.shape[-1]), target.reshape(-1)
    losses: Tensor = _CrossEntropyRows.apply(rows, flat, ignore_index, label_smoothing, group)  # type: ignore[no-untyped-call]
    if reduction == "none":
        found = losses.view(target.shape)
    else:
        found = losses.sum()
        if reduction == "mean":
            found = found / (flat != ignore_index).sum()
    return found if torch.is_autocast_enabled(x.device.type) else found.to(x.dtype)


def _check_targets(target: Tensor, ignored: int, classes: int) -> None:
    """A target that no rank has would pass for one whose logit is zero."""
    wrong = ((target < 0) | (target >= classes)) & (target != ignored)
    if target.device.type == "cpu":
        if wrong.any():
            raise IndexError(f"Target {int(target[wrong][0])} is out of bounds.")
    else:
        assert_async(~wrong.any(), "a target of the cross entropy is out of bounds")


class _CrossEntropyRows(torch.autograd.Function):
    """The loss of each row; zero where the target is ignored."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, target: Tensor, ignored: int, smoothing: float, group: ProcessGroup
    ) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        most = all_reduce(wide.amax(-1), group, "max")
        wide = wide - most.unsqueeze(-1)
        kept = target != ignored
        place = target - group.rank() * x.shape[-1]
        here = kept & (place >= 0) & (place < x.shape[-1])
        place = place.masked_fill(~here, 0).unsqueeze(-1)
        sums = [wide.exp().sum(-1), wide.gather(-1, place).squeeze(-1).masked_fill(~here, 0)]
        if smoothing:
            sums.append(wide.sum(-1))
        total, hit, *every = all_reduce(torch.stack(sums), group)
        loss = total.log() - (1 - smoothing) * hit
        if smoothing:
            loss = loss - smoothing / (x.shape[-1] * group.size()) * every[0]
        ctx.save_for_backward(x, most, total, place, here, kept)
        ctx.smoothing, ctx.classes = smoothing, x.shape[-1] * group.size()
        lost: Tensor = loss.masked_fill(~kept, 0)
        return lost

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, most, total, place, here, kept = ctx.saved_tensors
        wide = x.to(most.dtype) - most.unsqueeze(-1)
        wide = wide.exp_().div_(total.unsqueeze(-1))
        if ctx.smoothing:
            wide -= ctx.smoothing / ctx.classes
        wide.scatter_add_(-1, place, (here.to(wide.dtype) * (ctx.smoothing - 1)).unsqueeze(-1))
        wide *= (gradient * kept).unsqueeze(-1)
        return wide.to(x.dtype), None, None, None, None
