"""Other paths of values through a model: branches, second calls, mixing of places."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.hunt.models.edits import (
    Code,
    Target,
    after,
    around,
    before,
    bend,
    change_call,
    change_forward,
    on_argument,
)
from tests.hunt.models.mutation_table import mutation


@mutation("training-branch")
def branch_on_training(target: Target) -> str | None:
    after(target.module, lambda module, y, _: bend(y, 1.0) if module.training else y.softmax(-1))
    return "y + 0.5 * tanh(y) if self.training else y.softmax(-1)"


@mutation("two-calls")
def call_twice(target: Target) -> str | None:
    if not target.name or not target.keeps_shape:
        return None
    way = target.pick("child(child(x))", "child(x) + child(2 * x)")

    def code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        first = call(*args, **kwargs)
        if not isinstance(first, Tensor):
            return first
        if way == "child(child(x))":
            args, kwargs = on_argument(args, kwargs, lambda _: first)
            return call(*args, **kwargs)
        args, kwargs = on_argument(args, kwargs, lambda x: 2 * x)
        return first + call(*args, **kwargs)

    change_call(target.module, code)
    return way


@mutation("skip")
def add_argument(target: Target) -> str | None:
    if not target.keeps_shape:
        return None
    outside, detached = target.pick(True, False), target.pick(True, False)
    (around if outside else after)(target, lambda _, y, x: y + (x.detach() if detached else x))
    return f"y + x{'.detach()' if detached else ''}, {'in the parent' if outside else 'in the module'}"


MIXES = {
    "y.softmax(-1)": lambda y: y.softmax(-1),
    "y - y.mean(-1, keepdim=True)": lambda y: y - y.mean(-1, keepdim=True),
    "y - y.mean(1, keepdim=True)": lambda y: y - y.mean(1, keepdim=True),
    "y - y.mean(0, keepdim=True)": lambda y: y - y.mean(0, keepdim=True),
    "y.cumsum(1)": lambda y: y.cumsum(1) * 0.1,
    "y + y.roll(1, 1)": lambda y: y + y.roll(1, 1),
    "y.flip(1)": lambda y: y.flip(1),
    "y.flip(-1)": lambda y: y.flip(-1),
    "F.layer_norm(y)": lambda y: functional.layer_norm(y, y.shape[-1:]),
    "F.normalize(y, dim=1)": lambda y: functional.normalize(y, dim=1),
    "y @ y.mT @ y": lambda y: 0.1 * (y @ y.mT).softmax(-1) @ y,
    "y.chunk(2, -1)": lambda y: torch.cat([part * (i + 1) for i, part in enumerate(y.chunk(2, -1))], -1),
    "y.chunk(2, 1)": lambda y: torch.cat([part * (i + 1) for i, part in enumerate(y.chunk(2, 1))], 1),
    "y + tanh(y) / y.amax()": lambda y: bend(y, 1 / y.amax()),
    "y + tanh(y) / y.norm()": lambda y: bend(y, 1 / y.norm()),
}


@mutation("mix")
def mix_places(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    (text, mix), outside = target.rng.choice(list(MIXES.items())), target.pick(True, False)
    (around if outside else after)(target, lambda _, y, __: mix(y))
    return f"{text}, {'in the parent' if outside else 'in the module'}"


@mutation("pointwise")
def change_pointwise(target: Target) -> str | None:
    ways = {
        "y * 1.5": lambda y: y * 1.5,
        "torch.tanh(y)": torch.tanh,
        "y + 0.5": lambda y: y + 0.5,
        "y * torch.sigmoid(y)": lambda y: y * torch.sigmoid(y),
        "y.clamp(-1, 1)": lambda y: y.clamp(-1, 1),
        "y.detach() + 0 * y": lambda y: y.detach() + 0.5 * y,
    }
    (text, change), place = target.rng.choice(list(ways.items())), target.pick("before", "in", "around")
    if place == "before":
        before(target.module, lambda _, x: change(x))
    else:
        (after if place == "in" else around)(target, lambda _, y, __: change(y))
    return f"{text}, {place} the module"


@mutation("no-gradient")
def block_gradient(target: Target) -> str | None:
    if not target.name:
        return None

    def code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return forward(*args, **kwargs)

    change_forward(target.module, code)
    return "with torch.no_grad()"


@mutation("dropout")
def drop_out(target: Target) -> str | None:
    target.module.own_dropout = nn.Dropout(0.1)
    after(target.module, lambda module, y, _: module.own_dropout(y))
    return "nn.Dropout(0.1)(y)"


@mutation("frozen")
def freeze(target: Target) -> str | None:
    params = list(target.module.parameters())
    if not params or not target.name:
        return None
    for param in params:
        param.requires_grad_(False)
    return "requires_grad_(False)"
