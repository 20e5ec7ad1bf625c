"""Attention with a bias for each head, whose slopes are a buffer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WIDTH, HEADS, LENGTH, BATCH = 16, 4, 6, 4


class Scale(nn.Module):
    """Reads the slopes of the module around it."""

    def __init__(self, outer: nn.Module) -> None:
        super().__init__()
        self.outer = [outer]

    def forward(self, scores: Tensor) -> Tensor:
        return scores * self.outer[0].slopes


class BiasedAttention(nn.Module):
    """`kind`: what else the code does with the slopes."""

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("slopes", 2.0 ** -torch.arange(1.0, HEADS + 1).view(1, HEADS, 1, 1))
        self.register_buffer("count", torch.zeros(()))
        self.kind, self.scale = kind, Scale(self) if kind == "below" else None

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        places = torch.arange(q.shape[2], device=q.device)
        return q @ k.mT + self.slopes * (places[None] - places[:, None])

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        split = self.qkv(x).reshape(batch, length, 3, -1, WIDTH // HEADS)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "checkpointed":
            scores = checkpoint(self.scores, q, k, use_reentrant=False)
        else:
            scores = self.scores(q, k)
        if self.kind == "written":
            self.slopes.mul_(0.5)
        if self.scale is not None:
            scores = self.scale(scores)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, -1)
        return self.out(y)


class Biased(nn.Module):
    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self.attention, self.last = BiasedAttention(kind), nn.Linear(WIDTH, WIDTH)
        self.reads = kind == "outside"

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.attention(x))
        return y + self.attention.slopes.sum() if self.reads else y


def model(kind: str = "") -> tuple[nn.Module, Tensor]:
    return Biased(kind), torch.randn(BATCH, LENGTH, WIDTH)


def plain() -> tuple[nn.Module, Tensor]:
    return model()


def checkpointed() -> tuple[nn.Module, Tensor]:
    return model("checkpointed")


def read_by_parent() -> tuple[nn.Module, Tensor]:
    return model("outside")


def plan(buffers: str) -> str:
    return (
        "mesh tp\n\n"
        "tensor tp {\n"
        f"    attention      inputs(0: replicate -> replicate){buffers and ' '}{buffers}\n"
        "    attention.qkv  packed_colwise(3)\n"
        "    attention.out  rowwise\n"
        "}\n"
    )
