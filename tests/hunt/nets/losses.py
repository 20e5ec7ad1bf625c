"""Models that compute their own loss: a mean over the batch, and terms that balance experts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.others import E
from tests.hunt.nets.parts import MLP, Attention, Block, D, F, V, floats, tokens
from tests.hunt.nets.sizes import READER, STREAM, Stream


def mean_loss_of(logits: Tensor, targets: Tensor, way: str) -> Tensor:
    """The loss of logits `[batch, places, words]` and targets `[batch, places]`."""
    flat, labels = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    if way == "sum":
        return functional.cross_entropy(flat, labels, reduction="sum")
    if way == "counted":
        return functional.cross_entropy(flat, labels, reduction="sum") / labels.numel()
    if way == "masked":
        kept = (labels > V // 3).to(flat.dtype)
        each = functional.cross_entropy(flat, labels, reduction="none")
        return (each * kept).sum() / kept.sum()
    loss = functional.cross_entropy(flat, labels)
    if way == "squared":
        return loss.square()
    if way == "steadied":
        return loss + 1e-2 * flat.logsumexp(-1).square().mean()
    return loss * loss.detach() if way == "detached" else loss


class Teller(nn.Module):
    """A language model that returns its logits and its loss."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(V, D), nn.LayerNorm(D), nn.Linear(D, V)
        self.blocks, self.way = nn.ModuleList(Block(Attention(), MLP()) for _ in range(2)), way

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return logits, mean_loss_of(logits, targets, self.way)


def mean_loss(*, way: str = "plain") -> Any:
    return Teller(way), (tokens(), tokens())


class Mixture(nn.Module):
    """Experts that all work on every place, weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(E, D, F)), nn.Parameter(torch.randn(E, F, D))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        hidden = functional.gelu(torch.einsum("btd,edf->ebtf", x, self.up))
        return torch.einsum("ebtf,efd,bte->btd", hidden, self.down, weights)


class Balanced(nn.Module):
    """Experts, and how evenly their router uses them: in each row, or over the batch."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.router, self.experts = way, nn.Linear(D, E, bias=False), Mixture()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.router(x).softmax(-1)
        if self.way == "batch":
            uneven = weights.mean((0, 1)).square().sum()
        elif self.way == "entropy":
            uneven = (weights * weights.log()).sum(-1).mean()
        else:
            uneven = weights.mean(1).square().sum(-1).mean()
        return self.experts(x, weights), uneven


class BalancedBlock(Block):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x = x + self.attention(self.one(x))
        y, uneven = self.mlp(self.two(x))
        return x + y, uneven


class BalancedStream(Stream):
    """Blocks, and the sum of what they say of their experts."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, total = self.first(x), 0.0
        for block in self.blocks:
            x, uneven = block(x)
            total = total + uneven
        return self.norm(x), total  # type: ignore[return-value]


def balanced(*, way: str = "rows") -> Any:
    return BalancedStream(*(BalancedBlock(Attention(), Balanced(way)) for _ in range(2))), (floats(),)


MEAN_LOSS = READER.replace(
    "colwise    -> shard(-1)\n    loss                       vocab_parallel", "colwise    -> replicate"
)
BALANCED = (
    STREAM[: STREAM.index("    block.mlp ")]
    + """\
    block.mlp                  inputs(0: stream -> replicate) outputs(0: replicate -> stream)
    block.mlp.experts          inputs(0: replicate -> replicate, 1: replicate -> replicate) params(up: shard(2), down: shard(1)) outputs(0: partial -> replicate)
    norm                       sequence   -> replicate            when sequence_parallel
"""
)
TABLE = (
    net.nets(__name__, "mean_loss", net.plan("mean_loss", MEAN_LOSS), {
        way: {"way": way} for way in ("sum", "counted", "masked", "squared", "steadied", "detached")})
    | net.nets(__name__, "balanced", net.plan("balanced", BALANCED), {
        way: {"way": way} for way in ("batch", "entropy")})
)  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"mean_loss": mean_loss, "balanced": balanced}, name)
