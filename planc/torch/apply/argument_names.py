"""The names of a module's arguments: a caller may pass one by position or by name."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from torch import nn

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def positional_names(module: nn.Module) -> tuple[str, ...]:
    """The arguments that the forward of a module's class takes by position; none where Python cannot tell."""
    kind: Any = type(module)
    names: tuple[str, ...] = _names_of(kind)
    return names


@cache
def _names_of(kind: Any) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(kind.forward).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(parameter.name for parameter in parameters if parameter.kind in _BY_POSITION)[1:]
