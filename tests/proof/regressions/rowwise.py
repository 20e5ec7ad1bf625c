"""Rowwise modules whose code is more than the style takes for granted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.proof.regressions.regression import D, FunctionModule, SoundnessCase, V, linear, tokens


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


def pair(kind: type[nn.Linear]) -> FunctionModule:
    """A module of a kind behind a colwise one."""

    def both(self: Any, x: Tensor) -> Any:
        y = self.down(self.up(x).relu())
        return y[0] + y[1] if isinstance(y, tuple) else y

    return FunctionModule(both, up=linear(), down=kind(D, D))


def inner(function: Any) -> FunctionModule:
    return FunctionModule(lambda self, x: self.p(x), p=FunctionModule(function, up=linear(), down=linear()))


def table(kind: type[nn.Embedding]) -> FunctionModule:
    return FunctionModule(lambda self, x: self.head(self.words(x)), words=kind(V, D), head=linear())


def frozen(model: nn.Module) -> nn.Module:
    """A model whose words are not trained."""
    model.words.requires_grad_(requires_grad=False)  # type: ignore[union-attr]
    return model


def two_layers() -> FunctionModule:
    """Two layers beside each other, and one behind both."""

    def both(self: Any, x: Tensor) -> Tensor:
        return self.down(torch.cat([self.one(x), self.two(x)], -1))

    return FunctionModule(both, one=linear(), two=linear(), down=nn.Linear(2 * D, D, bias=False))


PAIR = ["up colwise", "down rowwise"]
INNER = ["p.up colwise", "p.down rowwise", "p outputs(0: partial -> replicate)"]
TABLE = ["words rowwise"]

CASES = [
    SoundnessCase("a layer", lambda: pair(nn.Linear), "proved", PAIR),
    SoundnessCase("a bias added by name", lambda: pair(Apart), "proved", PAIR),
    SoundnessCase("a bias under a view", lambda: pair(Flat), "proved", PAIR),
    SoundnessCase("a bias that is scaled", lambda: pair(Scaled), "unproved", PAIR),
    SoundnessCase("a bias added twice", lambda: pair(Doubled), "unproved", PAIR),
    SoundnessCase("a bias taken away", lambda: pair(Subtracted), "unproved", PAIR),
    SoundnessCase("a bias summed up", lambda: pair(Summed), "unproved", PAIR),
    SoundnessCase("a bias handed on", lambda: pair(Handed), "unproved", PAIR),
    SoundnessCase("a bias in the caller's linear",
         lambda: inner(lambda m, x: functional.linear(m.up(x), m.down.weight, m.down.bias)), "unproved", INNER),
    SoundnessCase("a bias in the caller's sum",
         lambda: inner(lambda m, x: m.up(x) @ m.down.weight.t() + m.down.bias), "unproved", INNER),
    SoundnessCase("a forward that is called by name",
         lambda: inner(lambda m, x: m.down.forward(m.up(x))), "unproved", INNER),
    SoundnessCase("a weight alone in the caller's product",
         lambda: inner(lambda m, x: m.up(x) @ m.down.weight.t()), "proved", INNER),
    SoundnessCase("rows of a table", lambda: table(nn.Embedding), "proved", TABLE, tokens),
    SoundnessCase("rows of a table that is not trained", lambda: frozen(table(nn.Embedding)), "proved", TABLE, tokens),
    SoundnessCase("columns of a table that is not trained", lambda: frozen(table(nn.Embedding)), "proved",
         ["words colwise -> replicate"], tokens),
    SoundnessCase("slices behind each other, taken for one slice", two_layers, "refuted", ["{one,two} colwise", "down rowwise"]),
    SoundnessCase("slices behind each other, gathered as one", two_layers, "refuted",
         ["{one,two} colwise", "down inputs(0: shard(-1) -> replicate)"]),
    SoundnessCase("slices behind each other", two_layers, "proved",
         ["{one,two} colwise", "down params(weight: shard(1, 2)) outputs(0: partial -> replicate)"]),
    SoundnessCase("rows that are scaled", lambda: table(Louder), "proved", TABLE, tokens),
    SoundnessCase("rows counted from elsewhere", lambda: table(Moved), "unproved", TABLE, tokens),
    SoundnessCase("rows that are clamped", lambda: table(Own), "unproved", TABLE, tokens),
    SoundnessCase("rows that are summed", lambda: table(Bag), "unproved", TABLE, tokens),
    SoundnessCase("columns of a table counted from elsewhere", lambda: table(Moved), "proved",
         ["words colwise -> replicate"], tokens),
]  # fmt: skip
