"""Whether the ranks divide the same dims of a small model as of the full one."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from torch import nn


def divisibility_changes(full: nn.Module, small: nn.Module, ranks: int) -> tuple[str, ...]:
    """Parameters whose dims the ranks divide otherwise than in the full model, one line a layer kind: names and
    shapes.

    Args:
        full, small: models of the same class, on any device.
        ranks: how many ranks divide dims.
    """
    return tuple(dict.fromkeys(_changes(full, small, ranks)))


def _changes(full: nn.Module, small: nn.Module, ranks: int) -> Iterator[str]:
    full_shapes = {name: tuple(param.shape) for name, param in full.named_parameters()}
    for name, param in small.named_parameters():
        small_shape, full_shape = tuple(param.shape), full_shapes.get(name)
        if full_shape is None:
            yield f"{_with_wildcards(name)} is new"
        elif [gcd(size, ranks) for size in small_shape] != [gcd(size, ranks) for size in full_shape]:
            yield f"{_with_wildcards(name)} {_shape_text(full_shape)} -> {_shape_text(small_shape)}"


def _with_wildcards(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
