"""Parameters that are read in unusual places."""

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
    bend,
    change_call,
    change_forward,
    on_first,
    row_numbers,
)
from tests.hunt.models.mutation_table import mutation

READS = {
    "weight.square().mean()": lambda w: w.square().mean(),
    "weight.sum() * 0.01": lambda w: w.sum() * 0.01,
    "weight.detach().abs().amax()": lambda w: w.detach().abs().amax(),
    "weight[0].mean()": lambda w: w[0].mean(),
    "weight.norm()": lambda w: w.norm(),
}


def _weighted(target: Target, *kinds: type[nn.Module]) -> str | None:
    """A module inside of the target that has a weight."""
    names = [
        n
        for n in target.below(*kinds)
        if isinstance(getattr(target.model.get_submodule(n), "weight", None), Tensor)
    ]
    return target.rng.choice(names) if names else None


@mutation("own-gain")
def add_gain(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) < 2:
        return None
    kind = target.pick("gain", "bias")
    target.module.register_parameter(f"own_{kind}", nn.Parameter(row_numbers(target.leaving[-1])))
    after(target.module, lambda module, y, _: y * module.own_gain if kind == "gain" else y + module.own_bias)
    return f"y {'*' if kind == 'gain' else '+'} own_{kind}, a parameter of the width"


@mutation("own-factor")
def add_factor(target: Target) -> str | None:
    shape = target.pick((), (1,))
    target.module.register_parameter("own_factor", nn.Parameter(torch.full(shape, 1.5)))
    after(target.module, lambda module, y, _: bend(y, module.own_factor))
    return f"y + 0.5 * tanh(y) * own_factor, a parameter of shape {shape}"


@mutation("child-weight")
def read_childs_weight(target: Target) -> str | None:
    name, text = _weighted(target), target.pick(*READS)
    if name is None:
        return None
    path = name[len(target.name) + 1 :] if target.name else name
    after(target.module, lambda module, y, _: bend(y, READS[text](module.get_submodule(path).weight)))
    return f"y + 0.5 * tanh(y) * {path}.{text}"


@mutation("own-weight")
def read_own_weight(target: Target) -> str | None:
    if not isinstance(getattr(target.module, "weight", None), Tensor):
        return None
    text, outside = target.pick(*READS), target.pick(True, False)
    (around if outside else after)(target, lambda module, y, _: bend(y, READS[text](module.weight)))
    return f"y + 0.5 * tanh(y) * {text}, {'in the parent' if outside else 'in the module'}"


@mutation("functional-linear")
def call_functional(target: Target) -> str | None:
    if type(target.module) is not nn.Linear:
        return None

    def code(module: nn.Module, _call: Code, x: Tensor) -> Tensor:
        return functional.linear(x, module.weight, module.bias)

    change_call(target.module, code)
    return "F.linear(x, child.weight, child.bias) in the place of child(x)"


@mutation("direct-forward")
def call_forward(target: Target) -> str | None:
    if not target.name:
        return None
    change_call(target.module, lambda module, _call, *args, **kwargs: module.forward(*args, **kwargs))
    return "child.forward(x) in the place of child(x)"


@mutation("penalty")
def add_penalty(target: Target) -> str | None:
    way = target.pick("square().sum()", "abs().mean()", "norm()")

    def code(module: nn.Module, y: Tensor, _x: Tensor | None) -> Any:
        parts = {
            "square().sum()": lambda p: p.square().sum(),
            "abs().mean()": lambda p: p.abs().mean(),
            "norm()": lambda p: p.norm(),
        }
        return bend(y, 0.02 * sum(parts[way](p) for p in module.parameters()))

    after(target.module, code)
    return f"y + 0.01 * tanh(y) * sum(p.{way} for p in self.parameters())"


@mutation("tied-head")
def use_embedding_twice(target: Target) -> str | None:
    target = target.at("")
    names = list(target.below(nn.Embedding))
    if not names or target.leaving is None:
        return None
    name = target.rng.choice(names)
    words, width = target.model.get_submodule(name).weight.shape
    way = target.pick("linear", "matmul")

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return functional.linear(x, weight) if way == "linear" else x @ weight.t()

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        weight = module.get_submodule(name).weight
        return y + 0.1 * (
            product(y, weight) @ weight if y.shape[-1] == width else product(y @ weight, weight)
        )

    if target.leaving[-1] not in (words, width) or target.name:
        return None
    after(target.module, change)
    return f"the root: y + 0.1 * {way} of y with {name}.weight, there and back"


@mutation("sibling-weight")
def use_siblings_weight(target: Target) -> str | None:
    if type(target.module) is not nn.Linear or not target.name:
        return None
    parent = target.name.rpartition(".")[0]
    others = [
        n for n in target.at(parent).below(nn.Linear)
        if n != target.name and target.model.get_submodule(n).weight.shape == target.module.weight.shape
    ]  # fmt: skip
    if not others:
        return None
    other = target.model.get_submodule(target.rng.choice(others))
    around(target, lambda _, y, x: y + 0.5 * functional.linear(x, other.weight))
    return "child(x) + 0.5 * F.linear(x, its sibling's weight)"


@mutation("normed-weight")
def normalize_weight(target: Target) -> str | None:
    if type(target.module) is not nn.Linear:
        return None
    dim = target.pick(0, 1)

    def code(module: nn.Module, _forward: Code, x: Tensor) -> Tensor:
        weight = module.weight / module.weight.norm(dim=dim, keepdim=True)
        return functional.linear(x, weight, module.bias)

    change_forward(target.module, code)
    return f"F.linear(x, weight / weight.norm(dim={dim}, keepdim=True), bias)"


@mutation("helper-method")
def call_helper(target: Target) -> str | None:
    """A child has a second method that reads its parameters; the module calls it after the child."""
    name = _weighted(target)
    if name is None:
        return None
    child, text = target.model.get_submodule(name), target.pick(*READS)
    first = target.pick(True, False)

    def helper() -> Tensor:
        return READS[text](child.weight)

    def code(module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        found = helper() if first else None
        result = forward(*args, **kwargs)
        return on_first(result, lambda y: bend(y, found if first else helper()))

    change_forward(target.module, code)
    return (
        f"y + 0.5 * tanh(y) * {name}.helper(), which reads {text}, {'before' if first else 'after'} the rest"
    )
