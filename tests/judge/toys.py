"""Small modules that do what no shipped family does, to try the proof with.

Each class is a model; `LINES` is a plan for it, as flat lines. `model(NAME)` makes one, and
what it is called with.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.judge import state_cases as kept

B, S, D, H, V = 3, 12, 16, 4, 32


class Attention(nn.Module):
    """Attention with two or three inputs of one width."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))

    def forward(self, x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
        z = y if z is None else z
        q, k, v = (
            layer(t).view(t.shape[0], t.shape[1], -1, D // H).transpose(1, 2)
            for layer, t in ((self.q, x), (self.k, y), (self.v, z))
        )
        out = functional.scaled_dot_product_attention(q, k, v)
        return self.o(out.transpose(1, 2).flatten(2))


class Twice(nn.Module):
    """One tensor stands in two places of a call."""

    LINES: ClassVar = ["attn inputs(0: shard(1) -> replicate, 1: shard(1) -> replicate)", "attn.{q,k,v} colwise",
             "attn.o rowwise -> shard(1)", "norm sequence replicate -> shard(1)", "root outputs(0: shard(1) -> replicate)"]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.norm, self.attn = nn.Linear(D, D), nn.LayerNorm(D), Attention()

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.pre(x))
        return self.attn(x, x)


class Echo(nn.Module):
    """A module that returns one tensor twice, and the next takes both."""

    LINES: ClassVar = ["both.up colwise", "both outputs(0: shard(2) -> replicate, 1: shard(2) -> replicate)"]

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(D, D)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.up(x)
            return y, y

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.both, self.down = nn.Linear(D, D), self.Both(), nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.both(self.pre(x))
        return self.down(a) * b


class Biased(nn.Module):
    """Rowwise layers with biases, one behind the other."""

    LINES: ClassVar = ["one colwise", "two rowwise -> shard(-1)", "three rowwise"]

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.one, self.two, self.three = (nn.Linear(D, D) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.three(self.two(self.one(self.pre(x)).relu()))


class Reused(nn.Module):
    """A module that is called twice, in two surroundings."""

    LINES: ClassVar = ["up colwise", "norm replicate", "down rowwise"]

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.up, self.down, self.norm = (
            nn.Linear(D, D),
            nn.Linear(D, D),
            nn.Linear(D, D),
            nn.LayerNorm(D),
        )
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.pre(x))
        return self.norm(self.down(self.up(x).relu()) * self.scale + x)


class Tied(nn.Module):
    """The table of words is used as the head, by the model's own code."""

    LINES: ClassVar = [
        "words rowwise",
        "root outputs(0: shard(-1) -> replicate)",
        "mix.up colwise",
        "mix.down rowwise",
    ]

    class Mix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(D, D), nn.Linear(D, D)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.up(x).relu())

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(V, D), self.Mix()

    def forward(self, ids: Tensor) -> Tensor:
        return functional.linear(self.mix(self.words(ids)), self.words.weight)


class Pooled(nn.Module):
    """Means and positions along the sequence."""

    LINES: ClassVar = [
        "norm sequence replicate -> shard(1)",
        "mix sequence -> replicate",
        "head colwise -> replicate",
    ]

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.norm, self.mix, self.head = (
            nn.Linear(D, D),
            nn.LayerNorm(D),
            nn.Linear(D, D),
            nn.Linear(D, D),
        )
        self.places = nn.Embedding(S, D)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.pre(x))
        x = self.mix(x + self.places(torch.arange(x.shape[1])))
        first, mean, most = x[:, 0], x.mean(1), x.amax(1)
        last = x[:, -1]
        return self.head(first * mean + most + last) + x.sum(1) / x.shape[1]


class Frozen(nn.Module):
    """Weights without gradients, a step without gradient, a value changed in place."""

    LINES: ClassVar = ["up colwise", "gate colwise", "down rowwise"]

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.up, self.gate, self.down = (nn.Linear(D, D) for _ in range(4))
        self.up.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        kept = self.up(x).detach()
        gate = self.gate(x)
        gate += kept
        out = self.down(gate * torch.sigmoid(kept))
        out.mul_(0.5)
        return out + x


class Named(nn.Module):
    """Keywords, lists and dictionaries between modules."""

    LINES: ClassVar = ["inner inputs(x: replicate -> replicate) outputs(a: partial -> replicate)", "inner.up colwise",
             "inner.down rowwise -> partial"]  # fmt: skip

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down, self.side = (
                nn.Linear(D, D),
                nn.Linear(D, D, bias=False),
                nn.Linear(D, D, bias=False),
            )

        def forward(self, *, x: Tensor, others: list[Tensor]) -> dict[str, Tensor]:
            y = self.down(self.up(x) * self.up(others[0]))
            return {"a": y, "b": self.side(others[1])}

    def __init__(self) -> None:
        super().__init__()
        self.pre, self.inner = nn.Linear(D, D), self.Inner()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        out = self.inner(x=x, others=[x.sin(), x])
        return out["a"] * out["b"]


OWN = (Twice, Echo, Biased, Reused, Tied, Pooled, Frozen, Named)
TOYS = {kind.__name__.lower(): kind for kind in OWN} | kept.TOYS


def model(name: str) -> tuple[nn.Module, dict[str, Any]]:
    kind: Any = TOYS[name]
    random = torch.Generator().manual_seed(3)
    if kind is Tied:
        return kind(), {"ids": torch.randint(0, V, (B, S), generator=random)}
    return kind(), {"x": torch.randn(B, S, D, generator=random)}


def __getattr__(name: str) -> Any:
    """`planc capture tests/judge/toys.py:NAME`"""
    if name in TOYS:
        return lambda: model(name)
    raise AttributeError(name)
