"""Values that outlive the call that made them: in dictionaries, in attributes, in lists."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Code, Target, after, before, bend, change_forward, on_first
from tests.hunt.models.mutation_table import mutation


def _begin_anew(model: nn.Module, clear: Any) -> None:
    def code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        clear()
        return forward(*args, **kwargs)

    change_forward(model, code)


@mutation("memo-dict")
def pass_in_dictionary(target: Target) -> str | None:
    """One module leaves a value in a dictionary, and a later one takes it."""
    later = target.later()
    if not target.name or not later:
        return None
    other, detached = target.rng.choice(later), target.pick(True, False)
    where = target.pick("result", "argument")
    memo: dict[str, Tensor] = {}

    def keep(_module: nn.Module, y: Tensor, x: Tensor | None = None) -> Tensor:
        memo["value"] = y.detach() if detached else y
        return y

    (after if where == "result" or target.entering != target.leaving else before)(target.module, keep)
    before(target.model.get_submodule(other), lambda _, x: x + 0.5 * memo["value"])
    _begin_anew(target.model, memo.clear)
    return f"memo['value'] = its {where}{', detached' if detached else ''}; {other} adds it to its argument"


@mutation("memo-attribute")
def pass_in_attribute(target: Target) -> str | None:
    later = target.later()
    if not target.name or not later:
        return None
    name, other = target.name, target.rng.choice(later)

    def keep(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        module.kept = y
        return y

    after(target.module, keep)
    model = [target.model]
    before(target.model.get_submodule(other), lambda _, x: x + 0.5 * model[0].get_submodule(name).kept)
    return f"self.kept = y; {other} adds it to its argument"


AUXILIARY = {
    "y.square().mean()": lambda y: y.square().mean(),
    "y.mean((0, 1)).square().sum()": lambda y: y.flatten(0, -2).mean(0).square().sum(),
    "y.abs().amax()": lambda y: y.abs().amax(),
    "y.sum()": lambda y: y.sum() * 0.01,
}


@mutation("auxiliary-loss")
def sum_attributes(target: Target) -> str | None:
    """Modules keep a number each, and the root adds them up."""
    if not target.name or target.leaving is None or len(target.leaving) < 2:
        return None
    last, (text, loss) = target.name.rpartition(".")[2], target.rng.choice(list(AUXILIARY.items()))
    names = [n for n in target.shapes.calls if n.rpartition(".")[2] == last and n] if target.pick(True, False) else [target.name]  # fmt: skip
    way, attached = target.pick("added", "returned"), target.pick(True, False)

    def keep(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        module.auxiliary = loss(y)
        return y

    for name in names:
        after(target.model.get_submodule(name), keep)

    def code(module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        total = sum(module.get_submodule(name).auxiliary for name in names)
        if attached:
            for name in names:
                module.get_submodule(name).auxiliary = None
        return (result, total) if way == "returned" else on_first(result, lambda y: bend(y, total))

    change_forward(target.model, code)
    return f"self.auxiliary = {text} in {', '.join(names)}; the root's sum is {way}"


@mutation("cache-by-shape", share=0.4)
def cache_positions(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    dim = target.pick(1, 2)

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        size = y.shape[dim]
        cache = module.__dict__.setdefault("places", {})
        if size not in cache:
            cache[size] = torch.arange(size, device=y.device, dtype=y.dtype).sin()
        return y * (1 + (cache[size] if dim == 2 else cache[size][:, None]))

    after(target.module, change)
    return f"y * (1 + self.places[y.shape[{dim}]]), a cache of arange(size).sin()"


@mutation("kept-for-next", share=0.2)
def keep_for_next_pass(target: Target) -> str | None:
    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        kept = module.__dict__.get("kept_before")
        module.__dict__["kept_before"] = y.detach()
        return y if kept is None else bend(y, kept.mean())

    after(target.module, change)
    return "y + 0.5 * tanh(y) * the mean that the pass before has kept"


@mutation("collected")
def collect_states(target: Target) -> str | None:
    """A list of states, as models return them, whose mean counts."""
    last = target.name.rpartition(".")[2]
    if not target.name or target.leaving is None:
        return None
    names = [n for n in target.shapes.calls if n.rpartition(".")[2] == last]
    states: list[Tensor] = []

    def keep(_module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        states.append(y)
        return y

    for name in names:
        after(target.model.get_submodule(name), keep)
    way = target.pick("returned", "mean")

    def code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        states.clear()
        result = forward(*args, **kwargs)
        kept = list(states)
        if way == "returned":
            return result, kept
        return on_first(result, lambda y: bend(y, sum(state.mean() for state in kept)))

    change_forward(target.model, code)
    return f"states.append(y) in {', '.join(names)}; the root: {way}"
