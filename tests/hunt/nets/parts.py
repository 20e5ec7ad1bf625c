"""Parts that nets are made of. Sizes are small, and 4 ranks can share them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

B, T, D, H, F, V = 4, 12, 32, 8, 64, 96
"""Batch, length, width, heads, width inside of an MLP, vocabulary."""


def tokens(vocabulary: int = V, length: int = T) -> Tensor:
    return torch.randint(0, vocabulary, (B, length))


def floats(*shape: int) -> Tensor:
    return torch.randn(*(shape or (B, T, D)))


class RMS(nn.Module):
    """A norm by hand, over the last dim."""

    def __init__(self, width: int = D) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Grouped(nn.GroupNorm):
    """A norm over groups of features, each place by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def norm(kind: str, width: int = D) -> nn.Module:
    if kind == "group":
        return Grouped(4, width)
    return {"layer": nn.LayerNorm, "rms": RMS, "torch_rms": nn.RMSNorm}[kind](width)


def heads(x: Tensor, size: int) -> Tensor:
    """Heads of a size, as the code infers their number: `[batch, heads, places, size]`."""
    return x.unflatten(-1, (-1, size)).transpose(1, 2)


def merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Attention whose code infers how many heads there are."""

    def __init__(
        self, *, count: int = H, kv: int | None = None, bias: bool = False, causal: bool = True
    ) -> None:
        super().__init__()
        self.size, self.causal = D // count, causal
        wide, narrow = count * self.size, (kv or count) * self.size
        self.q, self.o = nn.Linear(D, wide, bias=bias), nn.Linear(wide, D, bias=bias)
        self.k, self.v = nn.Linear(D, narrow, bias=bias), nn.Linear(D, narrow, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(layer(x), self.size) for layer in (self.q, self.k, self.v))
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = (y.repeat_interleave(groups, 1) for y in (k, v))
        return self.o(merged(functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)))


class MLP(nn.Module):
    def __init__(self, *, bias: bool = False, wide: int = F) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(D, wide, bias=bias), nn.Linear(wide, D, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x)))


class Block(nn.Module):
    """Attention and an MLP, each behind a norm and beside the stream."""

    def __init__(self, attention: nn.Module, mlp: nn.Module, kind: str = "layer") -> None:
        super().__init__()
        self.one, self.attention, self.two, self.mlp = norm(kind), attention, norm(kind), mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.one(x))
        return x + self.mlp(self.two(x))


BLOCK = """\
    block.{one,two}            sequence   when sequence_parallel
    block.attention            inputs(0: stream -> replicate)
    block.attention.{q,k,v}    colwise
    block.attention.o          rowwise    -> stream
    block.mlp                  inputs(0: stream -> replicate)
    block.mlp.up               colwise
    block.mlp.down             rowwise    -> stream"""
"""The rules of `Block`, with `Attention` and `MLP`."""
