# ruff: noqa: ARG005
"""Small models that compute their loss, or something else of the whole batch: what the proof says, and what numbers say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

B, S, D, V = 4, 6, 8, 5


class LossModel(nn.Module):
    """A projection to classes; `compute` makes the result from the model, the inputs and the logits."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.compute = compute
        self.up, self.head, self.table = nn.Linear(D, D), nn.Linear(D, V), nn.Embedding(V, D)
        self.scale = nn.Parameter(torch.tensor([0.3]))
        self.criterion = nn.CrossEntropyLoss()
        self.register_buffer("running", torch.zeros(()))

    def forward(self, x: Tensor, targets: Tensor) -> Any:
        hidden = self.up(x).tanh()
        return self.compute(self, hidden, targets, self.head(hidden))


def entropy(logits: Tensor, targets: Tensor, **keywords: Any) -> Tensor:
    return functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), **keywords)


def _weighted(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    return entropy(y, t) * torch.exp(-m.scale) + m.scale.sum()


def _decayed(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Any:
    return y, entropy(y, t) + 0.01 * sum(p.square().sum() for p in m.head.parameters())


def _from_list(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    terms = [entropy(y, t), 0.1 * h.square().mean()]
    return torch.stack(terms).sum() + sum(terms)


def _of_rows(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Any:
    probabilities = y.softmax(-1)
    shares = functional.one_hot(y.argmax(-1), V).float().mean(1)
    return y, entropy(y, t) + 0.1 * (shares * probabilities.mean(1)).sum(-1).mean() * V


def _balanced(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Any:
    shares = functional.one_hot(y.argmax(-1), V).float().mean((0, 1))
    return y, entropy(y, t) + V * (shares * y.softmax(-1).mean((0, 1))).sum()


def _shifted(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    logits = m.head(m.table(t) + h)
    return functional.cross_entropy(logits[:, :-1].reshape(-1, V), t[:, 1:].reshape(-1))


def _padded(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    return entropy(y, functional.pad(t, (0, 1), value=-100)[:, 1:].contiguous(), ignore_index=-100)


def _masked(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    mask = (t > 1).float()
    each = functional.cross_entropy(y.transpose(1, 2), t, reduction="none")
    return (each * mask).sum() / mask.sum()


def _kept(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    loss = entropy(y, t)
    m.running.add_(loss.detach())
    return loss


def _in_place(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    loss = entropy(y, t)
    loss += 0.1 * h.square().mean()
    return loss.mul_(2)


def _summed_in_place(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    total = torch.zeros((), dtype=y.dtype)
    total += entropy(y, t)
    total += 0.1 * h.square().mean()
    return total


def _written_in_place(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    terms = torch.zeros(2, dtype=y.dtype)
    terms[0] = entropy(y, t)
    terms[1] = h.square().mean()
    return terms.sum()


def _seen_by_a_view(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    terms = torch.zeros(2, dtype=y.dtype)
    view = terms[:1]
    terms[0] = entropy(y, t)
    return (y * view).mean()


def _in_a_view_of_a_buffer(m: Any, h: Tensor, t: Tensor, y: Tensor) -> Tensor:
    loss = entropy(y, t)
    m.running.view(1).add_(loss.detach())
    return loss


class LossCase(NamedTuple):
    """A model, the proof's verdict on it where the batch is split, and whether two ranks compute what one does."""

    compute: Callable[..., Any]
    verdict: str
    right: bool = True
    message: str = ""
    """Part of what the proof says."""


CASES = {
    "beside the logits": LossCase(lambda m, h, t, y: (y, entropy(y, t)), "proved"),
    "alone": LossCase(lambda m, h, t, y: entropy(y, t), "proved"),
    "in a mapping": LossCase(lambda m, h, t, y: {"loss": entropy(y, t), "logits": y}, "proved"),
    "its own number to leave out": LossCase(lambda m, h, t, y: entropy(y, t, ignore_index=-1), "proved"),
    "a module": LossCase(lambda m, h, t, y: m.criterion(y.flatten(0, 1), t.flatten()), "proved"),
    "smoothed": LossCase(lambda m, h, t, y: entropy(y, t, label_smoothing=0.1), "proved"),
    "of squares": LossCase(lambda m, h, t, y: functional.mse_loss(y, y.detach() + 1), "proved"),
    "sum over the entries": LossCase(lambda m, h, t, y: entropy(y, t, reduction="sum") / t.numel(), "proved"),
    "sum over the rows": LossCase(lambda m, h, t, y: y.square().sum() / y.shape[0], "proved"),
    "sum times a share": LossCase(lambda m, h, t, y: y.square().sum() * (1 / (y.shape[0] * S)), "proved"),
    "of rows, then of the batch": LossCase(lambda m, h, t, y: y.square().mean(-1).mean(0).mean(), "proved"),
    "labels that are tokens": LossCase(_shifted, "proved"),
    "of logsumexp": LossCase(
        lambda m, h, t, y: (y, entropy(y, t) + 0.1 * y.logsumexp(-1).square().mean()), "proved"
    ),
    "with weight decay": LossCase(_decayed, "proved"),
    "with a learned weight": LossCase(_weighted, "proved"),
    "terms in a list": LossCase(_from_list, "proved"),
    "balanced in each row": LossCase(_of_rows, "proved"),
    "changed in place": LossCase(_in_place, "proved"),
    "summed in place": LossCase(_summed_in_place, "proved"),
    "written in place": LossCase(_written_in_place, "proved"),
    "with itself, detached": LossCase(lambda m, h, t, y: entropy(y, t) + entropy(y, t).detach(), "proved"),
    "accuracy beside it": LossCase(
        lambda m, h, t, y: (entropy(y, t), (y.argmax(-1) == t).float().mean()), "proved"
    ),
    "a sum": LossCase(
        lambda m, h, t, y: entropy(y, t, reduction="sum"), "refuted", False, "too small by the number of ranks"
    ),
    "a sum over a number": LossCase(
        lambda m, h, t, y: y.square().sum() / (B * S * V), "refuted", False, "too small by the number of ranks"
    ),
    "balanced over the batch": LossCase(_balanced, "refuted", False, "means over the batch are multiplied"),
    "the root of a mean": LossCase(
        lambda m, h, t, y: functional.mse_loss(y, h[..., :V].detach()).sqrt(), "refuted", False, "not linear"
    ),
    "a square": LossCase(lambda m, h, t, y: entropy(y, t) ** 2, "refuted", False, "not linear"),
    "over itself, detached": LossCase(
        lambda m, h, t, y: y.square().mean() / h.square().mean().detach(), "refuted", False, "one divides another"
    ),
    "scaled by a detached mean": LossCase(
        lambda m, h, t, y: y / y.square().mean().detach(), "refuted", False, "combined with the samples"
    ),
    "centred": LossCase(lambda m, h, t, y: y - y.mean(0), "refuted", False, "combined with the samples"),
    "under a mask": LossCase(_masked, "refuted", False, "divided by another one"),
    "class weights": LossCase(
        lambda m, h, t, y: entropy(y, t, weight=torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0], dtype=y.dtype)),
        "refuted", False, "class weights"),
    "many means": LossCase(lambda m, h, t, y: y.mean(0), "refuted", False, "one number that is a mean"),
    "kept in a buffer": LossCase(_kept, "refuted", True, "written into a tensor that all ranks have"),
    "kept in a view of a buffer": LossCase(_in_a_view_of_a_buffer, "refuted", True, "all ranks have"),
    "seen by a view": LossCase(_seen_by_a_view, "unproved", False, "has a view of it"),
    "targets that the code leaves out": LossCase(
        lambda m, h, t, y: entropy(y, t.masked_fill(t > 2, -100)), "unproved", False, "targets that are -100"
    ),
    "targets that the code appends": LossCase(_padded, "unproved", True, "targets that are -100"),
}  # fmt: skip


def build(name: str) -> Any:
    """The model of a case, and its inputs: rows with different targets."""
    torch.manual_seed(0)
    targets = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 4, 4, 3, 4, 4], [0, 0, 1, 0, 0, 2], [1, 1, 1, 1, 3, 1]])
    return LossModel(CASES[name].compute), (torch.randn(B, S, D), targets)


def __getattr__(name: str) -> Any:
    number = name.removeprefix("case_")
    if not number.isdigit():
        raise AttributeError(name)
    return partial(build, list(CASES)[int(number)])
