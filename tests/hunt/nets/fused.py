"""Projections that are one matrix, in many orders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import MLP, Block, D, F, H, floats, heads, merged
from tests.hunt.nets.sizes import Stream

SIZE = D // H


class Fused(nn.Module):
    """Attention with q, k and v in one layer."""

    def __init__(self, order: str, kv: int, *, bias: bool) -> None:
        super().__init__()
        self.order, self.groups, self.wide, self.narrow = order, H // kv, D, kv * SIZE
        self.qkv = nn.Linear(D, D + 2 * self.narrow, bias=bias)
        self.o = nn.Linear(D, D, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.parts(self.qkv(x))
        if self.groups > 1:
            k, v = (y.repeat_interleave(self.groups, 1) for y in (k, v))
        return self.o(merged(functional.scaled_dot_product_attention(q, k, v, is_causal=True)))

    def parts(self, y: Tensor) -> tuple[Tensor, ...]:
        if self.order == "by_head":  # q, k, v of the first head, then those of the second
            return y.unflatten(-1, (-1, 3, SIZE)).permute(3, 0, 2, 1, 4).unbind(0)
        if self.order == "by_head_chunked":
            return y.unflatten(-1, (-1, 3 * SIZE)).transpose(1, 2).chunk(3, -1)
        if self.order == "by_group":  # q of all heads of a group, its k and its v
            z = y.unflatten(-1, (-1, self.groups + 2, SIZE)).transpose(1, 2)
            return z[..., :-2, :].transpose(2, 3).flatten(1, 2), z[..., -2, :], z[..., -1, :]
        if self.order == "stacked":
            return y.unflatten(-1, (3, -1, SIZE)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.order == "split":
            pieces = y.split([self.wide, self.narrow, self.narrow], -1)
        elif self.order == "indexed":
            wide = y.shape[-1] // 3
            pieces = (y[..., :wide], y[..., wide : 2 * wide], y[..., 2 * wide :])
        else:
            pieces = y.chunk(3, -1)
        named = dict(zip(self.order if len(self.order) == 3 else "qkv", pieces, strict=True))
        return tuple(heads(named[name], SIZE) for name in "qkv")


class Gated(nn.Module):
    """An MLP with gate and up in one layer."""

    def __init__(self, order: str, *, bias: bool) -> None:
        super().__init__()
        self.order, self.up, self.down = order, nn.Linear(D, 2 * F, bias=bias), nn.Linear(F, D, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        if self.order == "glu":
            return self.down(functional.glu(y, -1))
        if self.order == "every_other":
            return self.down(functional.silu(y[..., ::2]) * y[..., 1::2])
        first, second = y.chunk(2, -1)
        gate, up = (second, first) if self.order == "swapped" else (first, second)
        return self.down(functional.silu(gate) * up)


def fused(*, order: str = "qkv", gate: str = "gate_up", kv: int = H, bias: bool = False) -> Any:
    return Stream(*(Block(Fused(order, kv, bias=bias), Gated(gate, bias=bias)) for _ in range(2))), (
        floats(),
    )


def by_head(*, order: str = "by_head", kv: int = H, bias: bool = False) -> Any:
    return Stream(*(Block(Fused(order, kv, bias=bias), MLP(bias=bias)) for _ in range(2))), (floats(),)


class All(nn.Module):
    """Attention and an MLP beside each other: one layer goes in, one comes out."""

    def __init__(self, order: str, *, apart: bool) -> None:
        super().__init__()
        self.order, self.width = order, D
        self.wide = nn.Linear(D, 4 * D, bias=False)
        self.out = nn.Linear(D if apart else 2 * D, D, bias=False)
        self.other = nn.Linear(D, D, bias=False) if apart else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x)
        pieces = y.split(self.width, -1) if self.order == "split" else y.chunk(4, -1)
        *qkv, inner = pieces if self.order != "mlp_first" else (*pieces[1:], pieces[0])
        q, k, v = (heads(part, SIZE) for part in qkv)
        attended = merged(functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        if self.other is not None:
            return self.out(attended) + self.other(functional.gelu(inner))
        return self.out(torch.cat([attended, functional.gelu(inner)], -1))


class Beside(nn.Module):
    def __init__(self, both: nn.Module) -> None:
        super().__init__()
        self.norm, self.both = nn.LayerNorm(D), both

    def forward(self, x: Tensor) -> Tensor:
        return x + self.both(self.norm(x))


def beside(*, order: str = "chunk", apart: bool = False) -> Any:
    return Stream(*(Beside(All(order, apart=apart)) for _ in range(2))), (floats(),)


PACKED = """
    first                    sequence   replicate -> shard(1)   when sequence_parallel
    block.{one,two}          sequence   when sequence_parallel
    block.attention          inputs(0: stream -> replicate)
    block.attention.qkv      packed_colwise(3)
    block.attention.o        rowwise    -> stream
    block.mlp                inputs(0: stream -> replicate)
    block.mlp.up             packed_colwise(2)
    block.mlp.down           rowwise    -> stream
    norm                     sequence   -> replicate            when sequence_parallel
"""
BY_HEAD = PACKED.replace("packed_colwise(3)", "colwise").replace("packed_colwise(2)", "colwise")
BESIDE = """
    first                    sequence   replicate -> shard(1)   when sequence_parallel
    block.norm               sequence   when sequence_parallel
    block.both               inputs(0: stream -> replicate)
    block.both.wide          packed_colwise(4)
    block.both.out           params(weight: shard(1, 2)) outputs(0: partial -> stream)
    norm                     sequence   -> replicate            when sequence_parallel
"""

TABLE = net.nets(__name__, "fused", net.plan("fused", PACKED), {
    "kqv": {"order": "kqv"}, "vkq": {"order": "vkq"}, "split": {"order": "split"}, "stacked": {"order": "stacked"},
    "indexed": {"order": "indexed"}, "by_head": {"order": "by_head"}, "2_kv": {"order": "split", "kv": 2},
    "biased": {"bias": True}, "swapped": {"gate": "swapped"}, "glu": {"gate": "glu"},
    "every_other": {"gate": "every_other"},
}) | net.nets(__name__, "by_head", net.plan("by_head", BY_HEAD), {
    "chunked": {"order": "by_head_chunked"}, "qkv": {"order": "qkv"}, "biased": {"bias": True},
    "4_groups": {"order": "by_group", "kv": 4}, "2_groups": {"order": "by_group", "kv": 2},
}) | net.nets(__name__, "beside", net.plan("beside", BESIDE), {
    "mlp_first": {"order": "mlp_first"}, "split": {"order": "split"}, "apart": {"apart": True},
})  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"fused": fused, "by_head": by_head, "beside": beside}, name)
