"""How many of a model's repeated layers include one of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

_POSITION_ATTRIBUTES = ("idx", "index", "layer_id", "layer_number", "depth")
"""In names of attributes that give a layer's position alone."""


def layers_needed(model: nn.Module, depth: int) -> int:
    """How many of the first layers include every kind, in the lists of this length."""
    return max(
        (_shortest_prefix(kinds) for kinds in layer_kinds(model) if len(kinds) == depth), default=depth
    )


def layer_kinds(model: nn.Module) -> Iterator[list[Any]]:
    """The kinds of the layers of each ModuleList, in order; equal kinds compare equal."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module):
            yield [_kind(layer) for layer in module]


def _shortest_prefix(kinds: list[Any]) -> int:
    return max(kinds.index(kind) for kind in set(kinds)) + 1


def _kind(layer: nn.Module) -> Any:
    """Everything that distinguishes layers: classes, shapes, and simple attributes of their modules."""
    return tuple(
        (name, type(module).__name__, _shapes(module), _settings(module))
        for name, module in layer.named_modules()
    )


def _shapes(module: nn.Module) -> Any:
    return tuple((name, tuple(p.shape)) for name, p in module.named_parameters(recurse=False))


def _settings(module: nn.Module) -> Any:
    return tuple(
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | str) and not any(part in name for part in _POSITION_ATTRIBUTES)
    )
