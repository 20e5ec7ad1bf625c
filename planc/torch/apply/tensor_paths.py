"""Tensors inside of arguments and results, by their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

TensorPath = tuple[str | int, ...]
TensorFunction = Callable[[Tensor], Tensor]


def map_tensor_at(item: Any, path: TensorPath, function: TensorFunction) -> Any:
    """What holds a tensor at a place, with that tensor changed; lists, tuples and mappings
    keep their types. Where there is no tensor, nothing changes."""
    if not path:
        return function(item) if isinstance(item, Tensor) else item
    first, rest = path[0], path[1:]
    if isinstance(item, Mapping):
        return _map_in_mapping(item, first, rest, function)
    if not isinstance(item, tuple | list) or not isinstance(first, int) or first >= len(item):
        return item
    parts = [map_tensor_at(part, rest, function) if i == first else part for i, part in enumerate(item)]
    if isinstance(item, list):
        return parts
    return type(item)(*parts) if hasattr(item, "_fields") else tuple(parts)


def _map_in_mapping(
    item: Mapping[Any, Any], key: str | int, path: TensorPath, function: TensorFunction
) -> Any:
    if key not in item:
        return item
    kind: Any = type(item)
    made = kind(item)
    made[key] = map_tensor_at(item[key], path, function)
    return made


def has_tensor_at(item: Any, path: TensorPath) -> bool:
    """Whether there is a tensor at a place."""
    for step in path:
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, tuple | list) and isinstance(step, int) and step < len(item):
            item = item[step]
        else:
            return False
    return isinstance(item, Tensor)


def first_tensor_path(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TensorPath | None:
    """The place of the first tensor among arguments."""
    for i, item in enumerate(args):
        if isinstance(item, Tensor):
            return (i,)
    return next(((name,) for name, item in kwargs.items() if isinstance(item, Tensor)), None)
