"""Changes in place: of arguments, of results, of what a child has given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Code, Target, after, around, before, change_forward, first_float, on_first
from tests.hunt.models.mutation_table import mutation


def _slice(y: Tensor, which: str) -> Tensor:
    return {
        "whole": lambda: y,
        "y[..., :1]": lambda: y[..., :1],
        "y[:, 0]": lambda: y[:, 0],
        "y[0]": lambda: y[0],
    }[which]()


SLICES = ("whole", "y[..., :1]", "y[:, 0]", "y[0]")
ROWS = ("y[:, 0]", "y[0]")
"""Those that a norm treats by themselves: it would undo a factor."""


def _change(y: Tensor, which: str) -> None:
    """Change a slice in place."""
    part = _slice(y, which)
    if which in ROWS:
        part.tanh_()
    else:
        part.mul_(1.5)


def _way(which: str) -> str:
    return f"y.{'tanh_()' if which in ROWS else 'mul_(1.5)'} of {which}"


@mutation("in-place-argument")
def change_argument(target: Target) -> str | None:
    which, late = target.pick(*SLICES), target.pick(True, False)
    if target.entering is None or len(target.entering) < 2:
        return None

    def code(module: nn.Module, forward: Code, *args: object, **kwargs: object) -> object:
        x = first_float(args, kwargs)
        result = forward(*args, **kwargs) if late else None
        if x is not None:
            _change(x, which)
        return result if late else forward(*args, **kwargs)

    change_forward(target.module, code)
    return f"{_way(which)} of its argument, {'after' if late else 'before'} the rest"


@mutation("in-place-fresh")
def change_fresh(target: Target) -> str | None:
    def change(_module: nn.Module, x: Tensor) -> Tensor:
        z = x * 1.5
        z.add_(0.1)
        return z

    before(target.module, change)
    return "z = x * 1.5; z.add_(0.1), in the place of x"


@mutation("in-place-result")
def change_result(target: Target) -> str | None:
    which = target.pick(*SLICES)
    if target.leaving is None or len(target.leaving) < 2:
        return None

    def change(_module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        _change(y, which)
        return y

    after(target.module, change)
    return f"{_way(which)}, in the module"


@mutation("in-place-of-child")
def change_childs_result(target: Target) -> str | None:
    which = target.pick(*SLICES)
    if target.leaving is None or len(target.leaving) < 2:
        return None

    def change(_module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        _change(y, which)
        return y

    around(target, change)
    return f"{_way(which)}, in the parent"


@mutation("in-place-residual")
def add_to_argument(target: Target) -> str | None:
    if not target.keeps_shape:
        return None
    way = target.pick("x += y", "y += x")

    def change(_module: nn.Module, y: Tensor, x: Tensor | None) -> Tensor:
        assert x is not None
        if way == "x += y":
            x += y
            return x
        y += x
        return y

    around(target, change)
    return f"{way}, in the parent"


@mutation("in-place-sum")
def accumulate(target: Target) -> str | None:
    if not target.has_children:
        return None

    def change(_module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        total = torch.zeros_like(y)
        total += y
        total += 0.5 * y
        return total

    after(target.module, change)
    return "total = zeros_like(y); total += y; total += 0.5 * y"


@mutation("in-place-fill")
def fill_slots(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3 or not target.has_children:
        return None

    def code(module: nn.Module, forward: Code, *args: object, **kwargs: object) -> object:
        def change(y: Tensor) -> Tensor:
            slots = torch.empty_like(y)
            slots[:, 0] = y[:, 0]
            slots[:, 1:] = y[:, 1:].tanh()
            return slots

        return on_first(forward(*args, **kwargs), change)

    change_forward(target.module, code)
    return "slots = empty_like(y); slots[:, 0] = y[:, 0]; slots[:, 1:] = y[:, 1:].tanh()"
