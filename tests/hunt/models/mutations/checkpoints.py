"""Models that checkpoint parts of themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.hunt.models.edits import Code, Target, after, change_call, change_forward, first_float
from tests.hunt.models.mutation_table import mutation


@mutation("checkpoint-method")
def checkpoint_own_method(target: Target) -> str | None:
    reentrant = target.pick(True, False)

    def code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        if kwargs and reentrant:
            return checkpoint(lambda *each: forward(*each, **kwargs), *args, use_reentrant=True)
        return checkpoint(forward, *args, use_reentrant=reentrant, **kwargs)

    change_forward(target.module, code)
    return f"checkpoint(self.method, x, use_reentrant={reentrant})"


@mutation("checkpoint-lambda")
def checkpoint_lambda(target: Target) -> str | None:
    if not target.keeps_shape:
        return None
    reentrant = target.pick(True, False)
    target.module.register_parameter("own_slope", nn.Parameter(torch.full((1,), 0.5)))

    def change(module: nn.Module, y: Tensor, _x: Tensor | None) -> Any:
        return checkpoint(lambda z: torch.tanh(z * module.own_slope), y, use_reentrant=reentrant)

    after(target.module, change)
    return f"checkpoint(lambda z: torch.tanh(z * self.slope), y, use_reentrant={reentrant})"


@mutation("checkpoint-child")
def checkpoint_child(target: Target) -> str | None:
    if not target.name or target.entering is None:
        return None
    reentrant = target.pick(True, False)

    def code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        if first_float(args, kwargs) is None:
            return call(*args, **kwargs)
        return checkpoint(lambda *each: call(*each, **kwargs), *args, use_reentrant=reentrant)

    change_call(target.module, code)
    return f"checkpoint(lambda z: child(z), x, use_reentrant={reentrant}), in the parent"
