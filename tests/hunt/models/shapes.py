"""Which modules of a model are called, in which order, and what goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CallShapes:
    """The shapes of the first floating-point tensors of a call."""

    entering: tuple[int, ...] | None
    leaving: tuple[int, ...] | None
    takes_tensor: bool = False
    """Whether its first argument by position is that tensor."""
    gives_tensor: bool = False
    """Whether its result is that tensor, and nothing else."""


@dataclass(frozen=True)
class Shapes:
    """The modules that are called, in the order in which their first calls begin."""

    calls: Mapping[str, CallShapes]


def shapes_of(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shapes:
    """Run a model, without gradients."""
    names = {module: name for name, module in model.named_modules()}
    entering: dict[str, tuple[int, ...] | None] = {}
    leaving: dict[str, tuple[int, ...] | None] = {}
    takes: dict[str, bool] = {}
    gives: dict[str, bool] = {}

    def begin(module: nn.Module, given: Any, named: Any) -> None:
        entering.setdefault(names[module], _shape((given, named)))
        takes.setdefault(
            names[module], bool(given) and isinstance(given[0], Tensor) and given[0].is_floating_point()
        )

    def end(module: nn.Module, _given: Any, result: Any) -> None:
        leaving.setdefault(names[module], _shape(result))
        gives.setdefault(names[module], isinstance(result, Tensor) and result.is_floating_point())

    hooks = []
    for module in names:
        hooks.append(module.register_forward_pre_hook(begin, with_kwargs=True))
        hooks.append(module.register_forward_hook(end))
    with torch.no_grad():
        model(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return Shapes({
        name: CallShapes(entering[name], leaving.get(name), takes[name], gives.get(name, False)) for name in entering
    })  # fmt: skip


def _shape(item: Any) -> tuple[int, ...] | None:
    if isinstance(item, Tensor):
        return tuple(item.shape) if item.is_floating_point() else None
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, tuple | list) else ()
    return next((shape for part in parts if (shape := _shape(part)) is not None), None)
