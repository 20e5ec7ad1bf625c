"""Buffers that the forward pass writes to or reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Target, after, before, bend, row_numbers
from tests.hunt.models.mutation_table import mutation

STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "1.0": lambda y: y.new_ones(()),
    "y.mean()": lambda y: y.detach().mean(),
    "y.abs().amax()": lambda y: y.detach().abs().amax(),
}
"""Of the first, every rank has the same value; the others are a number of the whole batch."""


@mutation("buffer-read")
def read_running_mean(target: Target) -> str | None:
    text, when = target.pick(*STATISTICS), target.pick("before", "after")
    target.module.register_buffer("own_running", torch.zeros(()))

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        if when == "before":
            y = bend(y, module.own_running)
        module.own_running.mul_(0.9).add_(0.1 * STATISTICS[text](y))
        return bend(y, module.own_running) if when == "after" else y

    after(target.module, change)
    return f"running.mul_(0.9).add_(0.1 * {text}), {when} that y + 0.5 * tanh(y) * running"


@mutation("buffer-write")
def write_statistic(target: Target) -> str | None:
    text = target.pick(*STATISTICS)
    target.module.register_buffer("own_seen", torch.zeros(()))

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        module.own_seen.copy_(STATISTICS[text](y))
        return y

    after(target.module, change)
    return f"seen.copy_({text})"


@mutation("buffer-idempotent")
def write_constant(target: Target) -> str | None:
    target.module.register_buffer("own_constant", torch.ones(()))

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        module.own_constant.fill_(0.75)
        return bend(y, module.own_constant)

    after(target.module, change)
    return "factor.fill_(0.75); y + 0.5 * tanh(y) * factor"


@mutation("buffer-count")
def count_calls(target: Target) -> str | None:
    """The count comes first: torch ends a second run at the last tensor that it needs."""
    reads = target.pick(True, False)
    target.module.register_buffer("own_steps", torch.zeros((), dtype=torch.int64))

    def change(module: nn.Module, x: Tensor) -> Tensor:
        module.own_steps.add_(1)
        return bend(x, module.own_steps) if reads else x

    before(target.module, change)
    return f"steps.add_(1){'; x + 0.5 * tanh(x) * steps' if reads else ''}"


@mutation("buffer-replace")
def replace_buffer(target: Target) -> str | None:
    text = target.pick(*STATISTICS)
    target.module.register_buffer("own_state", torch.zeros(()))

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Tensor:
        y = bend(y, module.own_state)
        module.own_state = 0.5 * module.own_state + STATISTICS[text](y)
        return y

    after(target.module, change)
    return f"y + 0.5 * tanh(y) * state; state = 0.5 * state + {text}"


@mutation("buffer-table")
def add_constant(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) < 2:
        return None
    target.module.register_buffer("own_table", row_numbers(target.leaving[-1]))
    after(target.module, lambda module, y, _: y * module.own_table)
    return "y * table, a buffer of the width"


@mutation("batch-norm")
def normalize_batch(target: Target) -> str | None:
    if target.leaving is None or len(target.leaving) != 3:
        return None
    target.module.over_batch = nn.BatchNorm1d(target.leaving[-1], affine=target.pick(True, False))
    after(target.module, lambda module, y, _: y + module.over_batch(y.flatten(0, 1)).view(y.shape))
    return "y + BatchNorm1d(y)"
