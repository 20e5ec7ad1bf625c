"""Models whose code reads sizes off what flows through them, or has sizes written out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import BLOCK, MLP, Attention, Block, D, H, V, floats, heads, tokens


def _counted(x: Tensor, dim: int) -> Tensor:
    return torch.arange(x.shape[dim], device=x.device, dtype=x.dtype)


READS = {
    "nothing": lambda x: x,
    "mean": lambda x: x - x.sum(1, keepdim=True) / x.shape[1],
    "numel": lambda x: x * (x.numel() / x.shape[0]) ** -0.25,
    "places": lambda x: x + (_counted(x, 1)[:, None] * _counted(x, 2)).div(100.0).sin(),
    "width": lambda x: x * x.size(-1) ** -0.5,
    "length": lambda x: x / max(len(x[0]), 1),
    "shifted": lambda x: x + functional.pad(x, (0, 0, 1, 0))[:, : x.shape[1]],
    "centred": lambda x: x - x.mean(-1, keepdim=True),
    "running": lambda x: x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)[:, None],
    "last": lambda x: x + x[:, -1:],
    "flat": lambda x: x.reshape(-1, x.shape[-1]).view(x.shape),
    "literal": lambda x: x.view(4, 12, D) * 2.0,
}  # fmt: skip
"""What code does with the size of a tensor `[batch, places, width]`."""


class Reading(Block):
    """A block that does something to what comes, or that hands something else to its MLP."""

    def __init__(self, before: str, inner: str) -> None:
        super().__init__(Attention(), Between(inner))
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(READS[self.before](x))


class Between(MLP):
    def __init__(self, inner: str) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.down(READS[self.inner](functional.silu(self.up(x)).unflatten(-1, (-1, 4)).flatten(2)))


class Reader(nn.Module):
    def __init__(self, before: str, inner: str, after: str) -> None:
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(V, D), nn.LayerNorm(D), nn.Linear(D, V)
        self.blocks, self.after = nn.ModuleList(Reading(before, inner) for _ in range(2)), after

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(READS[self.after](self.norm(x)))


def reader(*, before: str = "nothing", inner: str = "nothing", after: str = "mean") -> Any:
    return Reader(before, inner, after), (tokens(),)


class Written(nn.Module):
    """Attention with the number of heads, or the width, written out."""

    def __init__(self, into: str, back: str) -> None:
        super().__init__()
        self.into, self.back, self.n_heads, self.size, self.width = into, back, H, D // H, D
        self.q, self.k, self.v, self.o = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (self.split(layer(x), b, t) for layer in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        if self.back == "inferred":
            return self.o(y.reshape(b, t, -1))
        return self.o(
            y.contiguous().view(b, t, self.width if self.back == "width" else self.n_heads * self.size)
        )

    def split(self, x: Tensor, b: int, t: int) -> Tensor:
        if self.into == "literal":
            return x.view(b, t, 8, 4).transpose(1, 2)
        if self.into == "inferred":
            return heads(x, self.size)
        if self.into == "by_width":
            return x.view(b, t, self.n_heads, self.width // H).transpose(1, 2)
        return x.view(b, t, self.n_heads, -1).transpose(1, 2)


class Stream(nn.Module):
    """Blocks on numbers, and no head."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.first, self.blocks, self.norm = nn.Linear(D, D), nn.ModuleList(blocks), nn.LayerNorm(D)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def writer(*, into: str = "named", back: str = "product") -> Any:
    return Stream(*(Block(Written(into, back), MLP()) for _ in range(2))), (floats(),)


READER = f"""
    words                      rowwise
    blocks.0                   inputs(0: replicate -> stream)
{BLOCK}
    norm                       sequence -> replicate   when sequence_parallel
    head                       colwise    -> shard(-1)
    loss                       vocab_parallel
"""
STREAM = f"""
    first                      sequence   replicate -> shard(1)   when sequence_parallel
{BLOCK}
    norm                       sequence   -> replicate            when sequence_parallel
"""
WRITER = STREAM.replace(
    "block.attention            inputs(0: stream -> replicate)",
    "block.attention            inputs(0: stream -> replicate) attributes(n_heads: 8 // tp)",
)

TABLE = net.nets(__name__, "reader", net.plan("reader", READER), {
    **{f"before_{kind}": {"before": kind} for kind in READS if kind not in ("nothing", "flat")},
    **{f"inner_{kind}": {"inner": kind} for kind in ("mean", "numel", "width", "centred")},
    **{f"after_{kind}": {"after": kind} for kind in READS if kind not in ("nothing", "mean")},
}) | net.nets(__name__, "writer", net.plan("writer", WRITER), {
    "inferred": {"into": "inferred", "back": "inferred"}, "literal": {"into": "literal"},
    "width": {"back": "width"}, "by_width": {"into": "by_width"}, "back_inferred": {"back": "inferred"},
})  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"reader": reader, "writer": writer}, name)
