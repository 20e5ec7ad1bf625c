"""How many of a model's repeated blocks show one of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

_POSITION_ATTRIBUTES = ("idx", "index", "layer_id", "layer_number", "depth")
"""What names of attributes say that only tell where a block stands."""


def layers_needed(model: nn.Module, depth: int) -> int:
    """How many of the first blocks hold one of every kind, in lists of this many."""
    return max(
        (_shortest_prefix(kinds) for kinds in layer_kinds(model) if len(kinds) == depth), default=depth
    )


def layer_kinds(model: nn.Module) -> Iterator[list[Any]]:
    """The kinds of blocks of each list of modules, in their order."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module):
            yield [_kind(block) for block in module]


def _shortest_prefix(kinds: list[Any]) -> int:
    return max(kinds.index(kind) for kind in set(kinds)) + 1


def _kind(block: nn.Module) -> Any:
    """All that tells a block from another one: classes, shapes, and what is set on its modules."""
    return tuple(
        (name, type(module).__name__, _shapes(module), _settings(module))
        for name, module in block.named_modules()
    )


def _shapes(module: nn.Module) -> Any:
    return tuple((name, tuple(p.shape)) for name, p in module.named_parameters(recurse=False))


def _settings(module: nn.Module) -> Any:
    return tuple(
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | str) and not any(place in name for place in _POSITION_ATTRIBUTES)
    )
