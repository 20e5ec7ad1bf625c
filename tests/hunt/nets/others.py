"""Patches, experts, and models that mix along the sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.nets import net
from tests.hunt.nets.parts import BLOCK, MLP, Attention, B, Block, D, F, T, floats
from tests.hunt.nets.sizes import STREAM, Stream

E = 4


class Patches(nn.Module):
    """A convolution that cuts an image into patches, and places for them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.cut = nn.Conv2d(3, D, 4, 4) if way != "linear" else nn.Linear(48, D)
        self.places, self.first = nn.Parameter(torch.zeros(1, 16, D)), nn.Parameter(torch.zeros(1, 1, D))

    def forward(self, image: Tensor) -> Tensor:
        if self.way == "linear":
            b, c, h, w = image.shape
            x = (
                image.view(b, c, h // 4, 4, w // 4, 4)
                .permute(0, 2, 4, 1, 3, 5)
                .reshape(b, h * w // 16, c * 16)
            )
            x = self.cut(x)
        elif self.way == "unfolded":
            x = (
                functional.unfold(image, 4, stride=4).transpose(1, 2) @ self.cut.weight.flatten(1).t()
                + self.cut.bias
            )
        else:
            x = self.cut(image).flatten(2).transpose(1, 2)
        x = x + self.places
        if self.way == "first":
            x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1)
        return x


class Image(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.patches, self.norm, self.head = Patches(way), nn.LayerNorm(D), nn.Linear(D, 12)
        self.blocks = nn.ModuleList(Block(Attention(causal=False), MLP()) for _ in range(2))

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def patches(*, way: str = "conv") -> Any:
    return Image(way), (floats(B, 3, 16, 16),)


class Experts(nn.Module):
    """Experts that all work on every place, weighed by a router."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.router = way, nn.Linear(D, E, bias=False)
        self.up, self.down = nn.Parameter(torch.randn(E, D, F)), nn.Parameter(torch.randn(E, F, D))
        self.shared = MLP() if way == "shared" else None
        self.late = nn.Parameter(torch.zeros(E, 1, D)) if way == "biased" else None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights = self.router(flat).softmax(-1)
        if self.way == "top":
            best, index = weights.topk(2, -1)
            weights = torch.zeros_like(weights).scatter(-1, index, best / best.sum(-1, keepdim=True))
        if self.way == "sigmoid":
            weights = torch.sigmoid(self.router(flat))
        if self.way == "bmm":
            hidden = functional.gelu(torch.bmm(flat.expand(E, -1, -1), self.up))
        else:
            hidden = functional.gelu(torch.einsum("nd,edf->enf", flat, self.up))
        each = hidden @ self.down
        if self.late is not None:
            each = each + self.late
        out = (each * weights.t().unsqueeze(-1)).sum(0)
        if self.shared is not None:
            out = out + self.shared(flat)
        return out.view(x.shape)


def experts(*, way: str = "dense") -> Any:
    return Stream(*(Block(Attention(), Experts(way)) for _ in range(2))), (floats(),)


class Along(nn.Module):
    """A convolution along the sequence, of each feature by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias, self.groups = (
            nn.Parameter(torch.randn(F, 1, 3)),
            nn.Parameter(torch.zeros(F)),
            F,
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv1d(x, self.weight, self.bias, padding=2, groups=self.groups)


class Mixer(nn.Module):
    """What stands for attention in models without it: it mixes along the sequence."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.up, self.gate, self.down = nn.Linear(D, F), nn.Linear(D, F), nn.Linear(F, D, bias=False)
        self.mix = nn.Conv1d(F, F, 3, groups=F, padding=2) if way == "torch" else Along()
        self.product = nn.Linear(T, T) if way == "product" else None
        self.decay = nn.Parameter(torch.zeros(F))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(self.up(x).transpose(1, 2))[..., : x.shape[1]]
        if self.product is not None:
            y = self.product(y)
        y = y.transpose(1, 2) * torch.sigmoid(self.decay)
        if self.way == "running":
            y = y.cumsum(1) / torch.arange(1, y.shape[1] + 1, device=x.device, dtype=x.dtype)[:, None]
        if self.way == "loop":
            state, found = torch.zeros_like(y[:, 0]), []
            for part in y.unbind(1):
                state = state * torch.sigmoid(self.decay) + part
                found.append(state)
            y = torch.stack(found, 1)
        return self.down(y * functional.silu(self.gate(x)))


def mixer(*, way: str = "conv") -> Any:
    return Stream(*(Block(Mixer(way), MLP()) for _ in range(2))), (floats(),)


PATCHES = f"""
    blocks.0                   inputs(0: replicate -> stream)
{BLOCK}
    norm                       sequence   -> replicate   when sequence_parallel
    head                       colwise    -> replicate
"""
EXPERTS = """
    first                      sequence   replicate -> shard(1)   when sequence_parallel
    block.{one,two}            sequence   when sequence_parallel
    block.attention            inputs(0: stream -> replicate)
    block.attention.{q,k,v}    colwise
    block.attention.o          rowwise    -> stream
    block.mlp                  inputs(0: stream -> replicate) params(up: shard(2), down: shard(1)) outputs(0: partial -> stream)
    block.mlp.router           replicate
    norm                       sequence   -> replicate            when sequence_parallel
"""
MIXER = STREAM.replace("{q,k,v}", "{up,gate}").replace("attention.o   ", "attention.down").replace(
    "block.mlp  ", "block.attention.mix        params(weight: shard(0), bias: shard(0)) attributes(groups: 64 // tp)\n"
    "    block.mlp  ", 1).replace(
    "attention            inputs(0: stream -> replicate)",
    "attention            inputs(0: stream -> replicate) params(decay: shard(0))")  # fmt: skip

TABLE = (
    net.nets(__name__, "patches", net.plan("patches", PATCHES), {
        way: {"way": way} for way in ("linear", "unfolded", "first")})
    | net.nets(__name__, "experts", net.plan("experts", EXPERTS), {
        way: {"way": way} for way in ("top", "sigmoid", "bmm", "shared", "biased")})
    | net.nets(__name__, "mixer", net.plan("mixer", MIXER), {
        way: {"way": way} for way in ("product", "running", "loop", "torch")})
)  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"patches": patches, "experts": experts, "mixer": mixer}, name)
