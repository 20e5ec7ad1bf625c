"""`loss vocab_parallel`: cross entropy on logits that stay split over the vocabulary.

The model returns `VocabParallelLogits`: a tensor that shows the global shape while each rank holds its
slice along the last dim. `F.cross_entropy` works on it as users write it, and so do the few operations
that usually come before it. Every other operation raises, and says how to gather.

For a row of logits x, its target t, V classes with weights w, W = sum(w), and label smoothing a, with m = max(x),
z = sum(exp(x - m)), h = x[t] - m and u = sum(w (x - m)):

    b    = (1 - a) w[t]
    loss = (b + a W / V) log z - b h - a u / V
    dx   = (b + a W / V) exp(x - m) / z - b [x is at t] - a w / V

Without weights all w are 1. One all-reduce of a number per row gives m; z and h, and with label smoothing u, are stacked into a
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
from planc.torch.apply.vocab_slice import check_ids


def vocab_parallel_cross_entropy(
    x: Tensor,
    target: Tensor,
    group: ProcessGroup,
    *,
    weight: Tensor | None = None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """`F.cross_entropy` on this rank's slice of the logits.

    Args:
        x: (rows, ..., local classes) or (local classes).
        target: indices of classes over all ranks, (rows) or (); the same on every rank. There may be more dims.
        weight: of all classes, the same on every rank; without a gradient.

    Returns:
        The loss, the same on every rank: of the shape of `target` for the reduction `none`, else ().

    Raises:
        TypeError: targets are probabilities.
        ValueError: the shapes differ.
        IndexError: on the CPU, a target is out of bounds.
    """
    if target.is_floating_point():
        raise TypeError("cross_entropy on vocab-parallel logits takes indices of classes, not probabilities")
    if target.shape != x.shape[:-1]:
        raise ValueError(f"Expected target size {list(x.shape[:-1])}, got {list(target.shape)}")
    counts = target != ignore_index
    check_ids(target, x.shape[-1] * group.size(), "Target", ~counts)
    rows, flat, counts = x.reshape(-1, x.shape[-1]), target.reshape(-1), counts.reshape(-1)
    if weight is not None:
        weight = weight.to(x.device, torch.promote_types(x.dtype, torch.float32))
    losses: Tensor = _CrossEntropyRows.apply(rows, flat, counts, weight, label_smoothing, group)  # type: ignore[no-untyped-call]
    if reduction == "none":
        loss = losses.view(target.shape)
    else:
        loss = losses.sum()
        if reduction == "mean":
            loss = loss / (counts if weight is None else weight[flat.masked_fill(~counts, 0)] * counts).sum()
    return loss if torch.is_autocast_enabled(x.device.type) else loss.to(x.dtype)


class _CrossEntropyRows(torch.autograd.Function):
    """The loss of each row; zero where the target is ignored."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        target: Tensor,
        counts: Tensor,
        weight: Tensor | None,
        smoothing: float,
        group: ProcessGroup,
    ) -> Tensor:
        logits = x.to(torch.promote_types(x.dtype, torch.float32))
        row_max = all_reduce(logits.amax(-1), group, "max")
        logits = logits - row_max.unsqueeze(-1)
        local_target = target - group.rank() * x.shape[-1]
        is_local = counts & (local_target >= 0) & (local_target < x.shape[-1])
        local_target = local_target.masked_fill(~is_local, 0).unsqueeze(-1)
        words = None if weight is None else weight.chunk(group.size())[group.rank()]
        sums = [logits.exp().sum(-1), logits.gather(-1, local_target).squeeze(-1).masked_fill(~is_local, 0)]
        if smoothing:
            sums.append(logits.sum(-1) if words is None else logits @ words)
        sum_exp, target_logit, *sum_logits = all_reduce(torch.stack(sums), group)
        ctx.classes, ctx.smoothing = x.shape[-1] * group.size(), smoothing
        # What a row's target counts, and what all words of a row count together.
        of_target = of_row = None
        if weight is None:
            loss = sum_exp.log() - (1 - smoothing) * target_logit
        else:
            of_target = (1 - smoothing) * weight[target.masked_fill(~counts, 0)]
            of_row = of_target + smoothing * weight.mean()
            loss = of_row * sum_exp.log() - of_target * target_logit
        if smoothing:
            loss = loss - smoothing / ctx.classes * sum_logits[0]
        ctx.save_for_backward(x, row_max, sum_exp, local_target, is_local, counts, of_target, of_row, words)
        row_losses: Tensor = loss.masked_fill(~counts, 0)
        return row_losses

    @staticmethod
    def backward(ctx: Any, loss_grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        x, row_max, sum_exp, local_target, is_local, counts, of_target, of_row, words = ctx.saved_tensors
        grad = x.to(row_max.dtype) - row_max.unsqueeze(-1)
        grad = grad.exp_().div_((sum_exp if of_row is None else sum_exp / of_row).unsqueeze(-1))
        if ctx.smoothing:
            grad -= ctx.smoothing / ctx.classes * (1 if words is None else words)
        at_target = is_local.to(grad.dtype) * (ctx.smoothing - 1 if of_target is None else -of_target)
        grad.scatter_add_(-1, local_target, at_target.unsqueeze(-1))
        grad *= (loss_grad * counts).unsqueeze(-1)
        return grad.to(x.dtype), None, None, None, None, None
