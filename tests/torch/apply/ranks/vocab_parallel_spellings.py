"""What people compute from logits, on split ones and on whole ones: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as users name it

from planc.torch.apply.vocab_parallel import VocabParallelLogits

B, T, V = 3, 5, 12
WEIGHT = torch.linspace(0, 2, V, dtype=torch.float64)
TEACHER = torch.randn(B, T, V, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
PROBABILITIES = TEACHER.softmax(-1)
TEMPERATURES = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64).view(B, 1, 1)
KEPT = torch.arange(B * T).view(B, T) % 4 != 1
MASK = torch.arange(B * T * V).view(B, T, V) % 5 == 0

Computation = Callable[[Any, Tensor], Any]
"""Of logits (B, T, V) and labels (B, T)."""


def _entropy(log_probabilities: Any) -> Any:
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


CROSS_ENTROPIES: dict[str, Computation] = {
    "transposed": lambda x, y: F.cross_entropy(x.transpose(1, 2), y),
    "transposed from the end": lambda x, y: F.cross_entropy(x.transpose(-1, -2), y, reduction="none"),
    "swapaxes": lambda x, y: F.cross_entropy(torch.swapaxes(x, 1, 2), y),
    "movedim": lambda x, y: F.cross_entropy(x.movedim(-1, 1), y, ignore_index=2),
    "permuted": lambda x, y: F.cross_entropy(x.permute(0, 2, 1), y, reduction="sum"),
    "mT": lambda x, y: F.cross_entropy(x.mT, y),
    "T": lambda x, y: F.cross_entropy(x[0].T.T, y[0]),
    "there and back": lambda x, y: F.cross_entropy(x.transpose(1, 2).transpose(1, 2).flatten(0, 1), y.flatten()),
    "transposed and shifted": lambda x, y: F.cross_entropy(x.transpose(1, 2)[:, :, :-1], y[:, 1:]),
    "transposed and viewed": lambda x, y: F.cross_entropy(x.mT.unsqueeze(-1), y.unsqueeze(-1)),
    "as an image": lambda x, y: F.cross_entropy(x[:, :4].mT.unflatten(-1, (2, 2)), y[:, :4].view(B, 2, 2)),
    "flattened image": lambda x, y: F.cross_entropy(
        x[:, :4].mT.reshape(B, V, 2, 2).flatten(2).movedim(1, -1).flatten(0, 1), y[:, :4].flatten()
    ),
    "time first": lambda x, y: F.cross_entropy(x.transpose(0, 1).reshape(-1, V), y.T.reshape(-1)),
    "one by one": lambda x, y: sum(F.cross_entropy(row, own) for row, own in zip(x, y)),
    "in chunks": lambda x, y: sum(
        F.cross_entropy(part.flatten(0, 1), own.flatten(), reduction="sum")
        for part, own in zip(x.split(2, dim=1), y.split(2, dim=1))
    ),
    "joined chunks": lambda x, y: F.cross_entropy(torch.cat(x.chunk(2, 1)[::-1], 1).mT, torch.cat(y.chunk(2, 1)[::-1], 1)),
    "stacked": lambda x, y: F.cross_entropy(torch.stack([x[0], x[1]], 1).flatten(0, 1), torch.stack([y[0], y[1]], 1).flatten()),
    "chosen rows": lambda x, y: F.cross_entropy(x[KEPT], y[KEPT]),
    "rows by number": lambda x, y: F.cross_entropy(x[[0, 2], 1:3].mT, y[[0, 2], 1:3]),
    "index_select": lambda x, y: F.cross_entropy(x.index_select(1, torch.tensor([3, 0])).mT, y[:, [3, 0]]),
    "weights": lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), WEIGHT),
    "weights, sum": lambda x, y: F.cross_entropy(x.mT, y, weight=WEIGHT, reduction="sum", ignore_index=2),
    "weights, each": lambda x, y: F.cross_entropy(x.mT, y, weight=WEIGHT, reduction="none", ignore_index=2),
    "weights, smoothed": lambda x, y: nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2, ignore_index=2)(x.mT, y),
    "weights, smoothed, each": lambda x, y: F.cross_entropy(x.mT, y, WEIGHT, label_smoothing=0.2, reduction="none"),
    "smoothed, sum": lambda x, y: F.cross_entropy(x.mT, y, label_smoothing=0.2, reduction="sum"),
    "probabilities": lambda x, _: F.cross_entropy(x.mT, PROBABILITIES.mT),
    "probabilities, all": lambda x, _: F.cross_entropy(
        x.mT, PROBABILITIES.mT, WEIGHT, label_smoothing=0.1, reduction="none"
    ),
    "probabilities of itself": lambda x, _: F.cross_entropy(x.mT, x.softmax(-1).mT, reduction="sum"),
    "one row": lambda x, _: F.cross_entropy(x[1, 2], PROBABILITIES[1, 2]),
    "no rows": lambda x, y: F.cross_entropy(x[:0].flatten(0, 1), y[:0].flatten(), reduction="sum"),
    "nll_loss": lambda x, y: F.nll_loss(x.log_softmax(-1).mT, y, WEIGHT, ignore_index=2),
    "nll_loss, each": lambda x, y: nn.NLLLoss(reduction="none")(F.log_softmax(x.flatten(0, 1), 1), y.flatten()),
    "nll_loss, sum": lambda x, y: F.nll_loss(torch.log_softmax(x, 2).flatten(0, 1), y.flatten(), reduction="sum"),
    "nll_loss of logits": lambda x, y: F.nll_loss(x.mT, y),
}  # fmt: skip
"""Cross entropy as people spell it."""
PROBABILITY: dict[str, Computation] = {
    "gather": lambda x, y: x.log_softmax(-1).gather(-1, y[..., None]).squeeze(-1),
    "gather, functions": lambda x, y: torch.gather(F.log_softmax(x, dim=-1), dim=2, index=y.unsqueeze(2)),
    "several words": lambda x, y: torch.gather(x.log_softmax(-1), -1, torch.stack([y, y.flip(0), y], -1)[:, :4]),
    "take_along_dim": lambda x, y: torch.take_along_dim(x.log_softmax(-1), y[..., None], dim=-1),
    "take_along_dim, broadcast": lambda x, y: x.take_along_dim(y[:1, :, None], -1),
    "transposed": lambda x, y: x.mT.log_softmax(1).gather(1, y[:, None]),
    "chosen logit": lambda x, y: x.gather(-1, y[..., None])[..., 0] - x.logsumexp(-1),
    "by hand": lambda x, y: (x - x.logsumexp(-1, keepdim=True)).gather(-1, y[..., None]),
    "by hand, stable": lambda x, _: (x - x.detach().amax(-1, keepdim=True)).exp().sum(-1).log(),
    "one by one": lambda x, y: torch.stack(
        [F.log_softmax(row, -1).gather(-1, own[:, None]) for row, own in zip(x, y)]
    ),
    "by rows and ids": lambda x, y: x.flatten(0, 1).log_softmax(-1)[torch.arange(B * T), y.flatten()],
    "by all ids": lambda x, y: x[torch.arange(B)[:, None], torch.arange(T), y - V],
    "one position": lambda x, y: x[1, torch.arange(T), y[1]],
    "temperature": lambda x, y: (x / 0.7).log_softmax(-1).gather(-1, y[..., None]),
    "temperature of each": lambda x, y: (x / TEMPERATURES).log_softmax(-1).gather(-1, y[..., None]),
    "temperature in place": lambda x, y: (x * 1).div_(0.7).log_softmax(-1).gather(-1, y[..., None]),
    "a temperature with a gradient": lambda x, _: x / x.sum(-1, keepdim=True).square().add(1),
    "float32": lambda x, y: F.log_softmax(x.float(), -1, dtype=torch.float64).gather(-1, y[..., None]),
    "ratio": lambda x, y: (
        x[:, :-1].log_softmax(-1).gather(-1, y[:, 1:, None]) - TEACHER[:, :-1, :1]
    ).exp().clamp(0.8, 1.2),
    "entropy": lambda x, _: -(x.softmax(-1) * x.log_softmax(-1)).sum(-1),
    "entropy, from logsumexp": lambda x, _: x.logsumexp(-1) - (x.softmax(-1) * x).sum(-1),
    "entropy, exp": lambda x, _: _entropy(F.log_softmax(x, dim=-1)),
    "z loss": lambda x, _: torch.logsumexp(x, dim=-1).square().mean(),
    "softmax": lambda x, _: F.softmax(x, dim=-1).square().sum((0, -1)),
    "softmax of a dtype": lambda x, y: torch.softmax(x.float(), -1, torch.float64).gather(-1, y[..., None]),
}  # fmt: skip
"""Log-probabilities of chosen words, and entropies."""
OTHERS: dict[str, Computation] = {
    "kl_div": lambda x, _: F.kl_div(x.log_softmax(-1), PROBABILITIES, reduction="batchmean"),
    "kl_div of logs": lambda x, _: F.kl_div(
        x.log_softmax(-1), TEACHER.log_softmax(-1), reduction="sum", log_target=True
    ),
    "kl_div backwards": lambda x, _: F.kl_div(TEACHER.log_softmax(-1), x.softmax(-1), reduction="none").sum(-1),
    "kl_div, both split": lambda x, _: F.kl_div(
        x.log_softmax(-1), (2 * x).detach().log_softmax(-1), reduction="none", log_target=True
    ).mean(),
    "mse of logits": lambda x, _: F.mse_loss(x, TEACHER),
    "mean": lambda x, _: x.mean(),
    "mean of words": lambda x, _: x.square().mean(-1),
    "mean of positions": lambda x, _: x.mean((0, 1)),
    "sum": lambda x, _: torch.sum(x * x),
    "soft cap": lambda x, _: 3 * torch.tanh(x / 3),
    "bias": lambda x, _: (x + WEIGHT) * TEACHER,
    "rows weighted": lambda x, _: x * KEPT[..., None],
    "masked": lambda x, _: x.masked_fill(MASK, -3.0).logsumexp(-1),
    "where": lambda x, _: torch.where(KEPT[..., None], x, 0.0).logsumexp(-1),
    "max": lambda x, _: x.max(-1).values,
    "max, ids": lambda x, _: x.max(-1, keepdim=True)[1],
    "min": lambda x, _: torch.min(x, dim=-1)[0],
    "margin": lambda x, _: x.topk(2).values.diff(dim=-1),
    "argmax": lambda x, _: x.argmax(-1),
    "argmax of equal ones": lambda x, _: (x * 0).argmax(dim=-1),
    "argmin": lambda x, _: x.argmin(-1),
    "accuracy": lambda x, y: (x.detach().argmax(-1) == y).double().mean(),
    "topk": lambda x, _: x.topk(8, dim=-1).values,
    "topk, ids": lambda x, _: torch.topk(x, 3)[1],
    "smallest": lambda x, _: torch.topk(x.mT, 3, 1, largest=False).values,
    "rank of the label": lambda x, y: (x > x.gather(-1, y[..., None])).sum(-1),
    "finite": lambda x, _: (x.isfinite().all(), torch.isnan(x).any(-1), (x > 100).any()),
    "2 - x": lambda x, _: 2 - x,
    "2 / x": lambda x, _: 2 / x,
    "first rows": lambda x, _: next(iter(x)),
}  # fmt: skip
"""Distillation, metrics, and arithmetic."""
FAMILIES = {"cross_entropy": CROSS_ENTROPIES, "probability": PROBABILITY, "other": OTHERS}


def compare(dtype: str = "float64", autocast: bool = False, family: str = "") -> dict[str, list[float]]:
    """For each computation how far its value and its gradient are off, relative to the largest entry."""
    random = torch.Generator().manual_seed(3)
    whole = (torch.randn(B, T, V, generator=random, dtype=torch.float64) * 4).to(getattr(torch, dtype))
    labels = torch.randint(0, V, (B, T), generator=random)
    labels[0, 2:4] = 2
    found = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for each, table in FAMILIES.items():
            if each.startswith(family):
                for name, compute in table.items():
                    found[f"{each}: {name}"] = _compare(compute, whole, labels)
    return found


def _compare(compute: Computation, logits: Tensor, labels: Tensor) -> list[float]:
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = logits.clone().requires_grad_()
    own = logits.chunk(ranks, -1)[rank].clone().requires_grad_()
    needed = compute(whole, labels)
    got = compute(VocabParallelLogits(own, dist.group.WORLD), labels)
    needed, got = (found if isinstance(found, tuple) else (found,) for found in (needed, got))
    errors = [0.0, 0.0]
    for a, b in zip(needed, got, strict=True):
        b = b.full_tensor() if isinstance(b, VocabParallelLogits) else b
        assert (a.shape, a.dtype) == (b.shape, b.dtype), (a.shape, a.dtype, b.shape, b.dtype)
        errors[0] = max(errors[0], _error(b, a))
        assert a.requires_grad == b.requires_grad
        if a.requires_grad:
            weights = torch.rand(a.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            (a * weights).sum().backward()
            (b * weights).sum().backward()
            errors[1] = max(errors[1], _error(own.grad, whole.grad.chunk(ranks, -1)[rank]))
    return errors


def _error(got: Tensor, needed: Tensor) -> float:
    if not needed.numel():
        return 0.0
    largest = needed.double().abs().max()
    return float((got.double() - needed.double()).abs().max() / (largest if largest > 0 else 1))
