"""Numbers that differ between the unsplit model and each rank's module, such as a count of heads."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

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
    code elsewhere compares them with ids of the whole table. It is the innermost step.

    Args:
        module: the lookup; it has the attributes.
        names: the attributes that name a row, as `padding_idx`.
        first_row: the first row of the rank's slice.
        rows: how many rows that has.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], first_row: int, rows: int) -> None:
        self.module = module
        self.numbers = {name: number for name in names if (number := getattr(module, name, None)) is not None}
        self.local_numbers = {
            name: number - first_row if first_row <= number < first_row + rows else None
            for name, number in self.numbers.items()
        }
        self.is_torchs = type(module).forward is nn.Embedding.forward and "forward" not in module.__dict__

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self.is_torchs:  # no attribute changes: a compiler allows that nowhere
            return self._look_up(*args, **kwargs)
        for name, number in self.local_numbers.items():
            setattr(self.module, name, number)
        try:
            return self.inner(*args, **kwargs)
        finally:
            for name, number in self.numbers.items():
                setattr(self.module, name, number)

    def _look_up(self, input: Tensor) -> Tensor:  # noqa: A002  # the name of torch
        table: Any = self.module
        padding = self.local_numbers["padding_idx"]
        return functional.embedding(
            input,
            table.weight,
            padding,
            table.max_norm,
            table.norm_type,
            table.scale_grad_by_freq,
            table.sparse,
        )
