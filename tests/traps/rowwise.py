"""Rowwise modules whose code is more than the style takes for granted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.traps.trap import D, Mod, Trap, V, linear, tokens


class Scaled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0.5


class Apart(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight) + self.bias


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        once = functional.linear(x, self.weight, self.bias)
        return once + functional.linear(x, self.weight, self.bias)


class Subtracted(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight) - self.bias


class Summed(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(-1, keepdim=True)


class Handed(nn.Linear):
    """Its bias is for the caller to add."""

    def forward(self, x: Tensor) -> Any:
        return functional.linear(x, self.weight), self.bias


class Flat(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view(*x.shape[:-1], -1)


class Moved(nn.Embedding):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 2)


class Own(nn.Embedding):
    def forward(self, x: Tensor) -> Tensor:
        return functional.embedding(x.clamp(max=5), self.weight)


class Bag(nn.Embedding):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(1)


class Louder(nn.Embedding):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * D**0.5


def pair(kind: type[nn.Linear]) -> Mod:
    """A module of a kind behind a colwise one."""

    def both(self: Any, x: Tensor) -> Any:
        y = self.down(self.up(x).relu())
        return y[0] + y[1] if isinstance(y, tuple) else y

    return Mod(both, up=linear(), down=kind(D, D))


def inner(function: Any) -> Mod:
    return Mod(lambda self, x: self.p(x), p=Mod(function, up=linear(), down=linear()))


def table(kind: type[nn.Embedding]) -> Mod:
    return Mod(lambda self, x: self.head(self.words(x)), words=kind(V, D), head=linear())


def frozen(model: nn.Module) -> nn.Module:
    """A model whose words are not trained."""
    model.words.requires_grad_(requires_grad=False)  # type: ignore[union-attr]
    return model


def beside() -> Mod:
    """Two layers beside each other, and one behind both."""

    def both(self: Any, x: Tensor) -> Tensor:
        return self.down(torch.cat([self.one(x), self.two(x)], -1))

    return Mod(both, one=linear(), two=linear(), down=nn.Linear(2 * D, D, bias=False))


PAIR = ["up colwise", "down rowwise"]
INNER = ["p.up colwise", "p.down rowwise", "p outputs(0: partial -> replicate)"]
TABLE = ["words rowwise"]

TRAPS = [
    Trap("a layer", lambda: pair(nn.Linear), "proved", PAIR),
    Trap("a bias added by name", lambda: pair(Apart), "proved", PAIR),
    Trap("a bias under a view", lambda: pair(Flat), "proved", PAIR),
    Trap("a bias that is scaled", lambda: pair(Scaled), "unproved", PAIR),
    Trap("a bias added twice", lambda: pair(Doubled), "unproved", PAIR),
    Trap("a bias taken away", lambda: pair(Subtracted), "unproved", PAIR),
    Trap("a bias summed up", lambda: pair(Summed), "unproved", PAIR),
    Trap("a bias handed on", lambda: pair(Handed), "unproved", PAIR),
    Trap("a bias in the caller's linear",
         lambda: inner(lambda m, x: functional.linear(m.up(x), m.down.weight, m.down.bias)), "unproved", INNER),
    Trap("a bias in the caller's sum",
         lambda: inner(lambda m, x: m.up(x) @ m.down.weight.t() + m.down.bias), "unproved", INNER),
    Trap("a forward that is called by name",
         lambda: inner(lambda m, x: m.down.forward(m.up(x))), "unproved", INNER),
    Trap("a weight alone in the caller's product",
         lambda: inner(lambda m, x: m.up(x) @ m.down.weight.t()), "proved", INNER),
    Trap("rows of a table", lambda: table(nn.Embedding), "proved", TABLE, tokens),
    Trap("rows of a table that is not trained", lambda: frozen(table(nn.Embedding)), "proved", TABLE, tokens),
    Trap("columns of a table that is not trained", lambda: frozen(table(nn.Embedding)), "proved",
         ["words colwise -> replicate"], tokens),
    Trap("slices behind each other, taken for one slice", beside, "refuted", ["{one,two} colwise", "down rowwise"]),
    Trap("slices behind each other, gathered as one", beside, "refuted",
         ["{one,two} colwise", "down inputs(0: shard(-1) -> replicate)"]),
    Trap("slices behind each other", beside, "proved",
         ["{one,two} colwise", "down params(weight: shard(1, 2)) outputs(0: partial -> replicate)"]),
    Trap("rows that are scaled", lambda: table(Louder), "proved", TABLE, tokens),
    Trap("rows counted from elsewhere", lambda: table(Moved), "unproved", TABLE, tokens),
    Trap("rows that are clamped", lambda: table(Own), "unproved", TABLE, tokens),
    Trap("rows that are summed", lambda: table(Bag), "unproved", TABLE, tokens),
    Trap("columns of a table counted from elsewhere", lambda: table(Moved), "proved",
         ["words colwise -> replicate"], tokens),
]  # fmt: skip
