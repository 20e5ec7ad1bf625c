"""`loss vocab_parallel`: cross entropy on logits that stay split over the vocabulary.

The model returns `VocabParallelLogits`: a tensor that shows the global shape while each rank holds its
slice along the last dim. `F.cross_entropy` works on it as users write it, and so do the few operations
that usually come before it. Every other operation raises, and says how to gather.

For a row of logits x, its target t, V classes and label smoothing a, with m = max(x),
z = sum(exp(x - m)), h = x[t] - m and u = sum(x - m):

    loss = log z - (1 - a) h - a u / V
    dx   = exp(x - m) / z - (1 - a) [x is at t] - a / V

One all-reduce of a number per row gives m; z and h, and with label smoothing u, are stacked into a
second one. The backward pass computes the rank's slice of dx from what the forward pass saved, without
communication. Sums are float32 or logitsr; the loss has the dtype that `F.cross_entropy` gives it.

planc does not use torch's `loss_parallel` for DTensors: it needs a context around the loss and
its backward pass, and silently gathers the logits without one; it supports no label smoothing,
and no mean on a mesh of two axes; and it keeps log-probabilities of the logits' size.
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
    """`F.cross_entropy` on this rank's slice of the logits.

    Args:
        x: (rows, local classes) or (local classes).
        target: indices of classes over all ranks, (rows) or (); the same on every rank.

    Returns:
        The loss, the same on every rank: (rows) for the reduction `none`, else ().

    Raises:
        TypeError: targets are probabilities.
        ValueError: the shapes differ, or the reduction is unknown.
        IndexError: on the CPU, a target is out of bounds.
    """
    if target.is_floating_point():
        raise TypeError("cross_entropy on vocab-parallel logits takes indices of classes, not probabilities")
    if target.shape != x.shape[:-1]:
        raise ValueError(f"Expected target size {list(x.shape[:-1])}, got {list(target.shape)}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    _check_targets(target, ignore_index, x.shape[-1] * group.size())
    rows, flat = x.reshape(-1, x.shape[-1]), target.reshape(-1)
    losses: Tensor = _CrossEntropyRows.apply(rows, flat, ignore_index, label_smoothing, group)  # type: ignore[no-untyped-call]
    if reduction == "none":
        loss = losses.view(target.shape)
    else:
        loss = losses.sum()
        if reduction == "mean":
            loss = loss / (flat != ignore_index).sum()
    return loss if torch.is_autocast_enabled(x.device.type) else loss.to(x.dtype)


def _check_targets(target: Tensor, ignore_index: int, classes: int) -> None:
    """Without this check, a target that no rank holds would count as a logit of zero."""
    wrong = ((target < 0) | (target >= classes)) & (target != ignore_index)
    if target.device.type == "cpu":
        if wrong.any():
            raise IndexError(f"Target {int(target[wrong][0])} is out of bounds.")
    else:
        assert_async(~wrong.any(), "a target of the cross entropy is out of bounds")


class _CrossEntropyRows(torch.autograd.Function):
    """The loss of each row; zero where the target is ignored."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, target: Tensor, ignore_index: int, smoothing: float, group: ProcessGroup
    ) -> Tensor:
        logits = x.to(torch.promote_types(x.dtype, torch.float32))
        row_max = all_reduce(logits.amax(-1), group, "max")
        logits = logits - row_max.unsqueeze(-1)
        counts = target != ignore_index
        local_target = target - group.rank() * x.shape[-1]
        is_local = counts & (local_target >= 0) & (local_target < x.shape[-1])
        local_target = local_target.masked_fill(~is_local, 0).unsqueeze(-1)
        sums = [logits.exp().sum(-1), logits.gather(-1, local_target).squeeze(-1).masked_fill(~is_local, 0)]
        if smoothing:
            sums.append(logits.sum(-1))
        sum_exp, target_logit, *sum_logits = all_reduce(torch.stack(sums), group)
        loss = sum_exp.log() - (1 - smoothing) * target_logit
        if smoothing:
            loss = loss - smoothing / (x.shape[-1] * group.size()) * sum_logits[0]
        ctx.save_for_backward(x, row_max, sum_exp, local_target, is_local, counts)
        ctx.smoothing, ctx.classes = smoothing, x.shape[-1] * group.size()
        row_losses: Tensor = loss.masked_fill(~counts, 0)
        return row_losses

    @staticmethod
    def backward(ctx: Any, loss_grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        x, row_max, sum_exp, local_target, is_local, counts = ctx.saved_tensors
        grad = x.to(row_max.dtype) - row_max.unsqueeze(-1)
        grad = grad.exp_().div_(sum_exp.unsqueeze(-1))
        if ctx.smoothing:
            grad -= ctx.smoothing / ctx.classes
        grad.scatter_add_(-1, local_target, (is_local.to(grad.dtype) * (ctx.smoothing - 1)).unsqueeze(-1))
        grad *= (loss_grad * counts).unsqueeze(-1)
        return grad.to(x.dtype), None, None, None, None
