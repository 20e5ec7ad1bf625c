"""Whether ranks share the same dims of a small model as of the full one."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from torch import nn


def divisibility_changes(full: nn.Module, small: nn.Module, ranks: int) -> tuple[str, ...]:
    """Parameters of which the ranks share other dims, one of each kind: their names and shapes.

    Args:
        full, small: models of the same class, on any device.
        parts: the ranks that share dims.
    """
    return tuple(dict.fromkeys(_changes(full, small, ranks)))


def _changes(full: nn.Module, small: nn.Module, ranks: int) -> Iterator[str]:
    shapes = {name: tuple(one.shape) for name, one in full.named_parameters()}
    for name, one in small.named_parameters():
        few, many = tuple(one.shape), shapes.get(name)
        if many is None:
            yield f"{_with_wildcards(name)} is new"
        elif [gcd(size, ranks) for size in few] != [gcd(size, ranks) for size in many]:
            yield f"{_with_wildcards(name)} {_shape_text(many)} -> {_shape_text(few)}"


def _with_wildcards(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
