"""Whether ranks share the same dims of a small model as of the full one."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from torch import nn


def otherwise(full: nn.Module, small: nn.Module, parts: int) -> tuple[str, ...]:
    """Parameters of which the ranks share other dims, one of each kind: their names and shapes.

    Args:
        full, small: models of the same class, on any device.
        parts: the ranks that share dims.
    """
    return tuple(dict.fromkeys(_found(full, small, parts)))


def _found(full: nn.Module, small: nn.Module, parts: int) -> Iterator[str]:
    shapes = {name: tuple(one.shape) for name, one in full.named_parameters()}
    for name, one in small.named_parameters():
        few, many = tuple(one.shape), shapes.get(name)
        if many is None:
            yield f"{_plain(name)} is new"
        elif [gcd(size, parts) for size in few] != [gcd(size, parts) for size in many]:
            yield f"{_plain(name)} {_by(many)} -> {_by(few)}"


def _plain(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
