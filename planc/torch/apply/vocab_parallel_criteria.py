"""The losses of torch on split logits: cross entropy and the negative log-likelihood, with all their arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from planc.torch.apply.vocab_parallel_elementwise import local_operand
from planc.torch.apply.vocab_parallel_loss import vocab_parallel_cross_entropy
from planc.torch.apply.vocab_parallel_reductions import vocab_gather, vocab_sum
from planc.torch.apply.vocab_parallel_softmax import vocab_log_softmax
from planc.torch.apply.vocab_slice import VocabSlice, check_ids, unsupported


def vocab_cross_entropy(
    x: Any,
    target: Any,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`F.cross_entropy`: logits (rows, vocabulary, ...) or (vocabulary), and targets of either kind."""
    _check_arguments("cross_entropy", x, weight, size_average, reduce, reduction)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.shape == x.shape:
        return _cross_entropy_of_probabilities(x, target, weight, reduction, label_smoothing)
    if isinstance(target, VocabSlice):
        raise unsupported("'cross_entropy' of logits and targets of different shapes")
    return vocab_parallel_cross_entropy(
        x.local.movedim(x.dim, -1), target, x.group,
        weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def vocab_nll_loss(
    x: Any,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`F.nll_loss`: log-probabilities (rows, vocabulary, ...) or (vocabulary), and ids."""
    _check_arguments("nll_loss", x, weight, size_average, reduce, reduction)
    ignored = target == ignore_index
    check_ids(target, x.words, "Target", ignored)
    ids = target.masked_fill(ignored, 0)
    chosen = vocab_gather(x, x.dim, ids.unsqueeze(x.dim)).squeeze(x.dim)
    weights = (torch.ones_like(chosen) if weight is None else weight[ids]).masked_fill(ignored, 0)
    losses = -(chosen * weights).masked_fill(ignored, 0)
    if reduction == "none":
        return losses
    dtype = torch.promote_types(losses.dtype, torch.float32)
    total = losses.sum(dtype=dtype)
    return (total / weights.sum(dtype=dtype) if reduction == "mean" else total).to(losses.dtype)


def _cross_entropy_of_probabilities(
    x: VocabSlice, target: Any, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """The target is a tensor of the shape of the logits: the probability of each word."""
    probabilities: Tensor = local_operand(x, target, "cross_entropy")
    if not probabilities.is_floating_point():
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {probabilities.dtype}"
        )
    if label_smoothing:
        probabilities = probabilities * (1 - label_smoothing) + label_smoothing / x.words
    if weight is not None:
        of_words = weight.view(-1, *[1] * (x.from_end - 1))
        probabilities = probabilities * local_operand(x, of_words, "cross_entropy")
    losses = vocab_sum(x.with_local(-vocab_log_softmax(x, x.dim).local * probabilities), x.dim)
    assert isinstance(losses, Tensor)
    if reduction == "none":
        return losses
    return losses.sum() / (losses.numel() if reduction == "mean" else 1)


def _check_arguments(
    name: str, x: Any, weight: Tensor | None, size_average: Any, reduce: Any, reduction: str
) -> None:
    if size_average is not None or reduce is not None:
        raise unsupported(f"'{name}' with size_average or reduce")
    if not isinstance(x, VocabSlice) or x.dim != min(1, x.local.ndim - 1):
        raise unsupported(f"'{name}' of anything but (rows, vocabulary, ...) or (vocabulary)")
    if weight is not None and (weight.requires_grad or weight.shape != (x.words,)):
        raise unsupported(f"'{name}' with a weight that is no constant for each word")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
