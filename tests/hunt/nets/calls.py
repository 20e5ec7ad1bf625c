"""Modules that are called in unusual ways: with keywords, tuples and dictionaries, or twice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import BLOCK, MLP, Attention, B, Block, D, H, T, floats, heads, merged
from tests.hunt.nets.sizes import STREAM, Stream

SIZE = D // H


class Cross(nn.Module):
    """Attention on something else, handed over in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.q, self.k, self.v, self.o = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor, memory: Any = None, mask: Tensor | None = None) -> Any:
        y = {"tuple": lambda: memory[0], "dict": lambda: memory["memory"]}.get(self.way, lambda: memory)()
        q, k, v = (heads(layer(z), SIZE) for layer, z in ((self.q, x), (self.k, y), (self.v, y)))
        out = self.o(merged(functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
        return {"tuple": lambda: (out, y), "dict": lambda: {"out": out}}.get(self.way, lambda: out)()


class CrossBlock(Block):
    def __init__(self, way: str) -> None:
        super().__init__(Attention(), MLP())
        self.three, self.cross = nn.LayerNorm(D), Cross(way)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.one(x))
        y, way = self.three(x), self.cross.way
        if way == "tuple":
            x = x + self.cross(y, (memory,), mask)[0]
        elif way == "dict":
            x = x + self.cross(y, {"memory": memory}, mask=mask)["out"]
        elif way == "position":
            x = x + self.cross(y, memory, mask)
        else:
            x = x + self.cross(y, memory=memory, mask=mask)
        return x + self.mlp(self.two(x))


class Translator(nn.Module):
    """An encoder of one block, and a decoder that looks at what it gives."""

    def __init__(self, way: str, *, masked: bool) -> None:
        super().__init__()
        self.into, self.first = nn.Linear(D, D), nn.Linear(D, D)
        self.encoder, self.between = Block(Attention(causal=False), MLP()), nn.LayerNorm(D)
        self.blocks, self.norm, self.masked = (
            nn.ModuleList(CrossBlock(way) for _ in range(2)),
            nn.LayerNorm(D),
            masked,
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory = self.between(self.encoder(self.into(source)))
        mask = None
        if self.masked:
            length = source.shape[1]
            mask = torch.ones(target.shape[1], length, dtype=torch.bool, device=source.device).tril(
                length - 3
            )
        x = self.first(target)
        for block in self.blocks:
            x = block(x, memory, mask=mask)
        return self.norm(x)


def cross(*, way: str = "keyword", masked: bool = False) -> Any:
    return Translator(way, masked=masked), {"source": floats(B, 16, D), "target": floats(B, T, D)}


class Shared(nn.Module):
    """One block, used several times, and a norm that it shares with the end."""

    def __init__(self, times: int, *, own: bool, sums: bool) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(D, D), nn.LayerNorm(D)
        block = Block(Attention(), MLP())
        if not own:
            block.two = block.one
        self.blocks, self.times, self.sums = nn.ModuleList([block]), times, sums

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        found = []
        for _ in range(self.times):
            for block in self.blocks:
                x = block(x)
                found.append(x)
        return self.norm(torch.stack(found).sum(0) if self.sums else x)


def shared(*, times: int = 3, own: bool = True, sums: bool = False) -> Any:
    return Shared(times, own=own, sums=sums), (floats(),)


class Glu(nn.Module):
    """An MLP with a gate."""

    def __init__(self, act: str, *, bias: bool = False) -> None:
        super().__init__()
        self.act = act
        self.gate, self.up = nn.Linear(D, 2 * D, bias=bias), nn.Linear(D, 2 * D, bias=bias)
        self.down = nn.Linear(2 * D, D, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate(x), self.up(x)
        acts = {"silu": functional.silu, "gelu": functional.gelu, "sigmoid": torch.sigmoid, "none": lambda y: y,
                "softmax": lambda y: y.softmax(-1), "squared": lambda y: functional.relu(y).square()}  # fmt: skip
        if self.act == "in_place":
            gate = functional.silu(gate)
            gate *= up
            return self.down(gate)
        if self.act == "scaled":
            return self.down(functional.silu(gate) * up / gate.shape[-1] ** 0.5)
        return self.down(acts[self.act](gate) * up)


class GatedAttention(Attention):
    """Attention with a gate on what its heads give: a number for each feature, or for each head."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.kind = gate
        self.gate = nn.Linear(D, H if gate == "heads" else D)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(layer(x), self.size) for layer in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        gate = torch.sigmoid(self.gate(x))
        if self.kind == "heads":
            return self.o(merged(y * gate.transpose(1, 2).unsqueeze(-1)))
        return self.o(merged(y) * gate)


def gated(*, act: str = "silu", gate: str = "features", bias: bool = False) -> Any:
    return Stream(*(Block(GatedAttention(gate), Glu(act, bias=bias)) for _ in range(2))), (floats(),)


CROSS = f"""
    {{into,first}}               sequence   replicate -> shard(1)   when sequence_parallel
    encoder.{{one,two}}          sequence   when sequence_parallel
    encoder.attention          inputs(0: stream -> replicate)
    encoder.attention.{{q,k,v}}  colwise
    encoder.attention.o        rowwise    -> stream
    encoder.mlp                inputs(0: stream -> replicate)
    encoder.mlp.up             colwise
    encoder.mlp.down           rowwise    -> stream
    between                    sequence   -> replicate            when sequence_parallel
{BLOCK}
    block.three                sequence   when sequence_parallel
    block.cross                inputs(0: stream -> replicate)
    block.cross.{{q,k,v}}        colwise
    block.cross.o              rowwise    -> stream
    norm                       sequence   -> replicate            when sequence_parallel
"""
GATED = STREAM.replace("{q,k,v}", "{q,k,v,gate}").replace("block.mlp.up     ", "block.mlp.{gate,up}")

TABLE = (
    net.nets(__name__, "cross", net.plan("cross", CROSS), {
        **{way: {"way": way} for way in ("position", "tuple", "dict")}, "masked": {"masked": True}})
    | net.nets(__name__, "shared", net.plan("shared", STREAM), {
        "once": {"times": 1}, "norms": {"own": False}, "sums": {"sums": True}})
    | net.nets(__name__, "gated", net.plan("gated", GATED), {
        **{act: {"act": act} for act in ("gelu", "sigmoid", "none", "softmax", "squared", "in_place", "scaled")},
        "heads": {"gate": "heads"}, "biased": {"bias": True}})
)  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"cross": cross, "shared": shared, "gated": gated}, name)
