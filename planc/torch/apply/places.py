"""Tensors inside of arguments and results, by their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Place = tuple[str | int, ...]
Change = Callable[[Tensor], Tensor]


def changed(item: Any, place: Place, change: Change) -> Any:
    """What holds a tensor at a place, with that tensor changed; lists, tuples and mappings
    keep their types. Where there is no tensor, nothing changes."""
    if not place:
        return change(item) if isinstance(item, Tensor) else item
    first, rest = place[0], place[1:]
    if isinstance(item, Mapping):
        return _in_mapping(item, first, rest, change)
    if not isinstance(item, tuple | list) or not isinstance(first, int) or first >= len(item):
        return item
    parts = [changed(part, rest, change) if i == first else part for i, part in enumerate(item)]
    if isinstance(item, list):
        return parts
    return type(item)(*parts) if hasattr(item, "_fields") else tuple(parts)


def _in_mapping(item: Mapping[Any, Any], key: str | int, rest: Place, change: Change) -> Any:
    if key not in item:
        return item
    kind: Any = type(item)
    made = kind(item)
    made[key] = changed(item[key], rest, change)
    return made


def present(item: Any, place: Place) -> bool:
    """Whether there is a tensor at a place."""
    for step in place:
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, tuple | list) and isinstance(step, int) and step < len(item):
            item = item[step]
        else:
            return False
    return isinstance(item, Tensor)


def first_tensor(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Place | None:
    """The place of the first tensor among arguments."""
    for i, item in enumerate(args):
        if isinstance(item, Tensor):
            return (i,)
    return next(((name,) for name, item in kwargs.items() if isinstance(item, Tensor)), None)
