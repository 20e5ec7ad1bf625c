"""A language model, as most of them are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import BLOCK, MLP, Attention, Block, D, F, H, T, V, norm, tokens


class Masked(Attention):
    """Attention with a mask that it makes from the length."""

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        q, k, v = (
            layer(x).unflatten(-1, (-1, self.size)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        mask = torch.full((length, length), -1e4, dtype=x.dtype, device=x.device).triu(1)
        scores = (q @ k.transpose(2, 3)) * self.size**-0.5 + mask
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Decoder(nn.Module):
    def __init__(
        self, count: int, kv: int | None, kind: str, places: str, vocabulary: int, wide: int,
        *, bias: bool, tied: bool, masked: bool, scaled: bool, frozen: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        attention = Masked if masked else Attention
        self.words = nn.Embedding(vocabulary, D)
        self.places = nn.Embedding(T, D) if places == "learned" else None
        self.table = nn.Parameter(torch.zeros(T, D)) if places == "table" else None
        self.blocks = nn.ModuleList(
            Block(attention(count=count, kv=kv, bias=bias), MLP(bias=bias, wide=wide), kind) for _ in range(2)
        )
        self.norm, self.head = norm(kind), nn.Linear(D, vocabulary, bias=bias and not tied)
        self.scaled = scaled
        if tied:
            self.head.weight = self.words.weight
        if frozen:
            self.words.requires_grad_(requires_grad=False)
            self.blocks[0].requires_grad_(requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        if self.scaled:
            x = x * x.shape[-1] ** 0.5
        if self.places is not None:
            x = x + self.places(torch.arange(ids.shape[1], device=ids.device))
        if self.table is not None:
            x = x + self.table[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def decoder(
    *, count: int = H, kv: int | None = None, kind: str = "layer", places: str = "learned", vocabulary: int = V,
    wide: int = F, bias: bool = False, tied: bool = False, masked: bool = False, scaled: bool = False,
    frozen: bool = False,
) -> Any:  # fmt: skip
    made = Decoder(count, kv, kind, places, vocabulary, wide, bias=bias, tied=tied, masked=masked, scaled=scaled,
                   frozen=frozen)  # fmt: skip
    return made, (tokens(vocabulary),)


class Head(nn.Module):
    """A head without a weight of its own: it is handed the table of words."""

    def __init__(self, *, transposed: bool, scaled: bool, bias: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(V)) if bias else None
        self.transposed, self.scaled = transposed, scaled

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        if self.scaled:
            x = x * table.shape[1] ** -0.5
        if self.transposed:
            return x @ table.t()
        return functional.linear(x, table, self.bias)


class Tied(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.words, self.norm, self.head = nn.Embedding(V, D), nn.LayerNorm(D), head
        self.blocks = nn.ModuleList(Block(Attention(), MLP()) for _ in range(2))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x), self.words.weight)


def tied(*, transposed: bool = False, scaled: bool = False, bias: bool = False) -> Any:
    return Tied(Head(transposed=transposed, scaled=scaled, bias=bias)), (tokens(),)


DECODER = f"""
    words                      rowwise
    blocks.0                   inputs(0: replicate -> stream)
{BLOCK}
    norm                       sequence   when sequence_parallel
    head                       colwise    stream -> shard(-1)
    loss                       vocab_parallel
"""
TIED = f"""
    words                      rowwise
    blocks.0                   inputs(0: replicate -> stream)
{BLOCK}
    norm                       sequence   when sequence_parallel
    head                       inputs(0: stream -> replicate) outputs(0: shard(-1) -> shard(-1))
    loss                       vocab_parallel
"""

TABLE = net.nets(__name__, "decoder", net.plan("decoder", DECODER), {
    "6_heads": {"count": 6}, "4_heads": {"count": 4}, "2_kv": {"kv": 2}, "4_kv": {"kv": 4}, "biased": {"bias": True},
    "rms": {"kind": "rms"}, "torch_rms": {"kind": "torch_rms"}, "group": {"kind": "group"}, "tied": {"tied": True},
    "no_places": {"places": "none"}, "table": {"places": "table"}, "98_words": {"vocabulary": 98},
    "97_words": {"vocabulary": 97}, "wide_66": {"wide": 66}, "masked": {"masked": True}, "scaled": {"scaled": True},
    "frozen": {"frozen": True}, "biased_tied_rms": {"bias": True, "tied": True, "kind": "rms"},
}) | net.nets(__name__, "tied", net.plan("tied", TIED), {
    "transposed": {"transposed": True}, "scaled": {"scaled": True}, "biased": {"bias": True},
})  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"decoder": decoder, "tied": tied}, name)
