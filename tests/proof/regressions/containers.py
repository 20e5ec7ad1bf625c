"""Tensors in lists, tuples and the like that pass a boundary, and weights that attributes hold."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.proof.regressions.regression import D, FunctionModule, SoundnessCase, linear

Named = namedtuple("Named", "y")  # noqa: PYI024


@dataclass
class Record:
    y: Tensor


def giving(make: Callable[[Any, Tensor], Any]) -> FunctionModule:
    """A module that returns its result in something; its caller takes the first of that."""

    def outer(self: Any, x: Tensor) -> Tensor:
        found = self.inner(x)
        found = vars(found) if isinstance(found, Record) else found
        return self.last(next(iter(found.values() if isinstance(found, dict) else found)))

    inner = FunctionModule(lambda self, x: make(self, self.up(x)), up=linear())
    return FunctionModule(outer, inner=inner, last=linear())


def keeping(self: Any, found: Any) -> Any:
    self.found = found
    return found


def taking(make: Callable[[Tensor], Any]) -> FunctionModule:
    """A module that is handed a tensor in something."""
    inner = FunctionModule(lambda self, pair: self.up(*pair), up=linear())
    return FunctionModule(lambda self, x: self.inner(make(self.first(x))), first=linear(), inner=inner)


def weighing(*, grad: bool, own: bool) -> FunctionModule:
    """A module whose weight is in a list too; its code takes the one or the other."""
    inner = FunctionModule(lambda self, x: x * (self.weight if own else self.weights[0]),
                weight=nn.Parameter(torch.ones(D), requires_grad=grad))  # fmt: skip
    inner.weights = [inner.weight]
    return FunctionModule(lambda self, x: self.inner(self.first(x)), first=linear(), inner=inner)


RESULT = ["inner.up colwise", "inner outputs(0: shard(2) -> replicate)"]
HANDED = ["first sequence replicate -> shard(1)", "inner inputs(0: shard(1) -> replicate)"]
WEIGHT = ["first colwise -> replicate"]

CASES = [
    SoundnessCase("a result in a tuple", lambda: giving(lambda _, y: (y,)), "proved", RESULT),
    SoundnessCase("a result in a tuple with names", lambda: giving(lambda _, y: Named(y)), "proved", RESULT),
    SoundnessCase("a result in a list", lambda: giving(lambda _, y: [y]), "proved", RESULT),
    SoundnessCase("a result in a dictionary", lambda: giving(lambda _, y: {"y": y}), "proved", RESULT),
    SoundnessCase("a result in a tuple that is kept", lambda: giving(lambda own, y: keeping(own, (y,))), "proved", RESULT),
    SoundnessCase("a result in a list that is kept", lambda: giving(lambda own, y: keeping(own, [y])), "unproved", RESULT),
    SoundnessCase("a result in a dictionary that is kept",
         lambda: giving(lambda own, y: keeping(own, {"y": y})), "unproved", RESULT),
    SoundnessCase("a result in a record", lambda: giving(lambda _, y: Record(y)), "unproved", RESULT),
    SoundnessCase("a result in a list that is kept, and no boundary",
         lambda: giving(lambda own, y: keeping(own, [y])), "proved", ["inner.up colwise -> replicate"]),
    SoundnessCase("an argument in a tuple", lambda: taking(lambda x: (x,)), "proved", HANDED),
    SoundnessCase("an argument in a list", lambda: taking(lambda x: [x]), "unproved", HANDED),
    SoundnessCase("an argument in a list, and no boundary", lambda: taking(lambda x: [x]), "proved",
         ["first colwise -> replicate", "inner.up colwise -> replicate"]),
    SoundnessCase("a weight that a list holds", lambda: weighing(grad=True, own=False), "unproved", WEIGHT),
    SoundnessCase("a weight that a list holds and nobody reads there", lambda: weighing(grad=True, own=True), "proved", WEIGHT),
    SoundnessCase("a weight without a gradient that a list holds", lambda: weighing(grad=False, own=False), "proved", WEIGHT),
    SoundnessCase("a weight that a list holds, on a part of the batch", lambda: weighing(grad=True, own=False), "unproved"),
]  # fmt: skip
