"""Numbers that differ between the unsplit model and each rank's module, such as a count of heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn


def set_local_attributes(module: nn.Module, values: Mapping[str, int]) -> None:
    """Give a module the rank's own numbers, by dotted name. An object in which one stands is copied: others
    share it, such as a configuration."""
    for name, value in values.items():
        _set_attribute(module, name, value)


def _set_attribute(module: nn.Module, name: str, value: int) -> None:
    first, dot, rest = name.partition(".")
    if not dot:
        setattr(module, name, value)
        return
    holder = copy.copy(getattr(module, first))
    if isinstance(holder, tuple):
        items = list(holder)
        items[int(rest)] = value
        setattr(module, first, tuple(items))
        return
    setattr(holder, rest, value)
    setattr(module, first, holder)
