"""Norms, biases, scales and constants where the width or the heads are split."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import MLP, Attention, Block, D, F, Grouped, H, floats, heads, merged, norm
from tests.hunt.nets.sizes import STREAM, Stream

SIZE = D // H


class Normed(Attention):
    """Attention with a norm on queries and keys: on each head, or on their full width."""

    def __init__(self, kind: str, *, wide: bool) -> None:
        super().__init__()
        self.wide, width = wide, D if wide else SIZE
        self.q_norm, self.k_norm = norm(kind, width), norm(kind, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.wide:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (heads(y, SIZE) for y in (q, k, v))
        if not self.wide:
            q, k = self.q_norm(q), self.k_norm(k)
        return self.o(merged(functional.scaled_dot_product_attention(q, k, v, is_causal=True)))


def head_norm(*, kind: str = "rms", wide: bool = False) -> Any:
    return Stream(*(Block(Normed(kind, wide=wide), MLP()) for _ in range(2))), (floats(),)


def wide_norm(*, kind: str = "rms", wide: bool = True) -> Any:
    return head_norm(kind=kind, wide=wide)


class Inner(MLP):
    """An MLP with a norm on what its activation gives, or on what its heads would be."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.norm = Grouped(8, F) if kind == "group" else norm(kind, F)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.norm(functional.gelu(self.up(x))))


def group_norm(*, kind: str = "group") -> Any:
    return Stream(*(Block(Attention(), Inner(kind)) for _ in range(2))), (floats(),)


class Late(nn.Module):
    """An MLP whose last bias is added in one of several ways."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D, bias=where == "linear")
        self.bias = nn.Parameter(torch.zeros(D))
        self.gain = nn.Parameter(torch.ones(D)) if where == "scaled" else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.up(x))
        if self.where == "by_hand":
            return y @ self.down.weight.t() + self.bias
        if self.where == "addmm":
            flat = torch.addmm(self.bias, y.flatten(0, 1), self.down.weight.t())
            return flat.unflatten(0, x.shape[:2])
        if self.where == "before":
            return self.down(y + self.bias.repeat(F // D))
        y = self.down(y)
        if self.gain is not None:
            y = y * self.gain
        return y if self.where == "linear" else y + self.bias


def late(*, where: str = "outside") -> Any:
    return Stream(*(Block(Attention(bias=True), Late(where)) for _ in range(2))), (floats(),)


class Scaled(Attention):
    """Attention with numbers of each head: temperatures, gates, and slopes by distance."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.gain = nn.Parameter(torch.ones(H, 1, 1))
        slopes = 2.0 ** -torch.arange(1, H + 1)
        if kind == "slopes":
            self.slopes = nn.Parameter(slopes, requires_grad=False)
        else:
            self.register_buffer("slopes", slopes)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (heads(layer(x), self.size) for layer in (self.q, self.k, self.v))
        places = torch.arange(x.shape[1], device=x.device)
        apart = (places[None] - places[:, None]).abs().to(x.dtype)
        mask = None
        if self.kind in ("slopes", "buffer"):
            mask = -self.slopes[:, None, None] * apart
        elif self.kind == "shared":
            mask = -apart * 0.1
        if self.kind == "query":
            q = q * self.gain
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o(merged(y if self.kind == "query" else y * self.gain))


class Residual(Block):
    """A block with a scale on what each part adds."""

    def __init__(self, kind: str, scale: str) -> None:
        super().__init__(Scaled(kind), MLP())
        shape = () if scale == "scalar" else (D,)
        self.gain_one = nn.Parameter(torch.ones(shape))
        self.gain_two = nn.Parameter(torch.ones(shape), requires_grad=scale != "frozen")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.one(x)) * self.gain_one
        return x + self.mlp(self.two(x)) * self.gain_two


def scaled(*, kind: str = "shared", scale: str = "vector") -> Any:
    return Stream(*(Residual(kind, scale) for _ in range(2))), (floats(),)


HEAD_NORM = f"""{STREAM}
    block.attention.{{q,k}}_norm   replicate
"""
WIDE_NORM = f"""{STREAM}
    block.attention.{{q,k}}_norm   inputs(0: shard(2) -> replicate) outputs(0: replicate -> shard(2))
"""
GROUP_NORM = f"""{STREAM}
    block.mlp.norm               params(weight: shard(0), bias: shard(0)) attributes(num_groups: 8 // tp)
"""
SCALED = f"""{STREAM.replace("inputs(0: stream -> replicate)", "inputs(0: stream -> replicate) params(gain: shard(0))", 1)}
    block                        params(gain_one: replicate, gain_two: replicate)
"""

LATE = f"""{STREAM.replace("block.mlp                  inputs(0: stream -> replicate)", "block.mlp                  inputs(0: stream -> replicate) params(bias: replicate)")}
"""

TABLE = (
    net.nets(__name__, "head_norm", net.plan("head_norm", HEAD_NORM), {
        "layer": {"kind": "layer"}, "torch_rms": {"kind": "torch_rms"}, "wide": {"wide": True}})
    | net.nets(__name__, "wide_norm", net.plan("wide_norm", WIDE_NORM), {
        "layer": {"kind": "layer"}, "group": {"kind": "group"}, "heads": {"wide": False}})
    | net.nets(__name__, "group_norm", net.plan("group_norm", GROUP_NORM), {"layer": {"kind": "layer"}})
    | net.nets(__name__, "late", net.plan("late", LATE), {
        name: {"where": name} for name in ("linear", "by_hand", "addmm", "before", "scaled")})
    | net.nets(__name__, "scaled", net.plan("scaled", SCALED), {
        "query": {"kind": "query"}, "slopes": {"kind": "slopes"}, "buffer": {"kind": "buffer"},
        "scalar": {"scale": "scalar"}, "frozen": {"scale": "frozen"}})
)  # fmt: skip


def __getattr__(name: str) -> Any:
    makers = {
        "head_norm": head_norm,
        "wide_norm": wide_norm,
        "group_norm": group_norm,
        "late": late,
        "scaled": scaled,
    }
    return net.factory(TABLE, makers, name)
