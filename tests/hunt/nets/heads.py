"""Models that read their logits, and models that pool over the sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import BLOCK, MLP, Attention, B, Block, D, T, V, floats, tokens

CLASSES = 12
READS = {
    "argmax": lambda y: y.argmax(-1),
    "topk": lambda y: y.topk(3, -1).values,
    "softmax": lambda y: y.softmax(-1),
    "max": lambda y: y.max(-1).values,
    "logsumexp": lambda y: y.logsumexp(-1),
    "entropy": lambda y: -(y.softmax(-1) * y.log_softmax(-1)).sum(-1),
    "sorted": lambda y: y.sort(-1).values,
    "capped": lambda y: torch.tanh(y / 30.0) * 30.0,
    "centred": lambda y: y - y.mean(-1, keepdim=True),
    "one_hot": lambda y: functional.one_hot(y.argmax(-1), V).to(y.dtype) @ torch.ones(V, dtype=y.dtype, device=y.device),
    "gathered": lambda y: y.gather(-1, y.argmax(-1, keepdim=True)),
    "sampled": lambda y: (y / 0.7).softmax(-1).cumsum(-1),
}  # fmt: skip


class Chooser(nn.Module):
    """It gives its logits, and what it reads off them."""

    def __init__(self, reads: str) -> None:
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(V, D), nn.LayerNorm(D), nn.Linear(D, V, bias=False)
        self.blocks, self.reads = nn.ModuleList(Block(Attention(), MLP()) for _ in range(2)), reads

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return {"logits": logits, "chosen": READS[self.reads](logits)}


def chooser(*, reads: str = "argmax") -> Any:
    return Chooser(reads), {"ids": tokens()}


class Pool(nn.Module):
    """One vector for a sequence."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.query = kind, nn.Linear(D, 1) if kind == "attention" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "mean":
            return x.mean(1)
        if self.kind == "by_length":
            return x.sum(1) / x.shape[1]
        if self.kind == "max":
            return x.amax(1)
        if self.kind == "last":
            return x[:, -1]
        if self.kind == "norm":
            return torch.linalg.vector_norm(x, dim=1)
        if self.kind == "flat":
            return x.flatten(1).unflatten(1, (T, D)).mean(1)
        if self.kind == "std":
            return x.std(1)
        if self.kind == "pooled":
            return functional.adaptive_avg_pool1d(x.transpose(1, 2), 1).squeeze(-1)
        if self.query is not None:
            return (self.query(x).softmax(1) * x).sum(1)
        return x[:, 0]


class Pooler(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.norm, self.pool, self.head = (
            nn.Linear(D, D),
            nn.LayerNorm(D),
            Pool(kind),
            nn.Linear(D, CLASSES),
        )
        self.blocks = nn.ModuleList(Block(Attention(causal=False), MLP()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.tanh(self.pool(self.norm(x))))


def pooler(*, kind: str = "mean") -> Any:
    return Pooler(kind), (floats(B, T, D),)


CHOOSER = f"""
    words                      rowwise
    blocks.0                   inputs(0: replicate -> stream)
{BLOCK}
    norm                       sequence   when sequence_parallel
    head                       colwise    stream -> replicate
"""
POOLER = f"""
    first                      sequence   replicate -> shard(1)   when sequence_parallel
{BLOCK}
    norm                       sequence   when sequence_parallel
    pool                       inputs(0: stream -> replicate)
    head                       colwise    -> replicate
"""

TABLE = net.nets(__name__, "chooser", net.plan("chooser", CHOOSER), {
    kind: {"reads": kind} for kind in READS if kind != "argmax"
}) | net.nets(__name__, "pooler", net.plan("pooler", POOLER), {
    kind: {"kind": kind} for kind in ("first", "max", "last", "by_length", "norm", "flat", "std", "pooled", "attention")
})  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"chooser": chooser, "pooler": pooler}, name)
