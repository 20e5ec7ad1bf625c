"""Numbers that differ between the unsplit model and each rank's module, such as a count of heads."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from planc.torch.apply.module_runtime import ForwardStep


def set_local_attributes(module: nn.Module, values: Mapping[str, int]) -> None:
    """Give a module the rank's own numbers, by dotted name. An object in which one stands is copied: others
    share it, such as a configuration, and find the numbers of the unsplit model in theirs."""
    for name, value in values.items():
        first, *rest = name.split(".")
        holders = [getattr(module, first)] if rest else []
        for key in rest[:-1]:
            holders.append(_item(holders[-1], key))
        new: Any = value
        for holder, key in zip(reversed(holders), reversed(rest), strict=True):
            new = _with_item(holder, key, new)
        setattr(module, first, new)


def _item(holder: Any, key: str) -> Any:
    if isinstance(holder, tuple | list):
        return holder[_index(holder, key)]
    return holder[key] if isinstance(holder, Mapping) else getattr(holder, key)


def _with_item(holder: Any, key: str, value: Any) -> Any:
    """A copy of a container or an object with another item or attribute. The type's own code does not run: it may
    hold numbers against each other."""
    if isinstance(holder, tuple):
        index = _index(holder, key)
        items = (*holder[:index], value, *holder[index + 1 :])
        return type(holder)(*items) if hasattr(holder, "_fields") else type(holder)(items)
    made: Any = copy.copy(holder)
    if isinstance(holder, list):
        made[_index(holder, key)] = value
    elif isinstance(holder, Mapping):
        made[key] = value
    else:
        object.__setattr__(made, key, value)
    return made


def _index(holder: Sequence[Any], key: str) -> int:
    """The position of an item, which the field of a named tuple may name."""
    fields: tuple[str, ...] = getattr(holder, "_fields", ())
    return fields.index(key) if key in fields else int(key)


class LocalRowAttributes(ForwardStep):
    """Gives a lookup the numbers that rows have in the rank's slice of its table, while its own forward runs:
    code elsewhere compares them with ids of the whole table.

    Args:
        names: the attributes that name a row, as `padding_idx`.
        first_row: the first row of the rank's slice.
        rows: how many rows that has.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], first_row: int, rows: int) -> None:
        self.attributes = module.__dict__
        self.names = [name for name in names if self.attributes.get(name) is not None]
        self.first_row, self.rows = first_row, rows

    def run(self, *args: Any, **kwargs: Any) -> Any:
        numbers = {name: self.attributes[name] for name in self.names}
        for name, number in numbers.items():
            local = number - self.first_row
            self.attributes[name] = local if 0 <= local < self.rows else None
        try:
            return self.inner(*args, **kwargs)
        finally:
            self.attributes.update(numbers)
