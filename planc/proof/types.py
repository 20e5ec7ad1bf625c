"""What a value can be on one axis of the mesh.

The types are those of spmd_types (R, I, P, S) and what planc adds to them. Two ranks that
hold the same numbers may still differ in what their gradients are, so «replicate» is two
types here. Types are interned: they are compared by identity.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from planc.ir.record import Record


class SpmdType:
    """A type of a value on one axis."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


class Sharded(SpmdType):
    """S(dim): each rank holds a slice along a dim, and the gradient of that slice."""

    __slots__ = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(f"shard({dim})")
        self.dim = dim
        """Counted from the first, never negative."""


class PackedShard(SpmdType):
    """A dim that is several parts one behind the other, each cut by itself: a rank holds
    its slice of the first part, then its slice of the second, ..."""

    __slots__ = ("dim", "parts")

    def __init__(self, dim: int, parts: tuple[int, ...]) -> None:
        super().__init__(f"packed shard({dim})")
        self.dim, self.parts = dim, parts
        """The whole size of each part."""


class LocalIndex(SpmdType):
    """0, 1, 2, ... along a dim of which each rank holds a slice, counted by each rank from its
    own start. It finds entries of that slice, and is wrong as anything else."""

    __slots__ = ("dim", "size", "source")

    def __init__(self, dim: int, size: int, source: NumberSource | None) -> None:
        super().__init__(f"local positions({dim})")
        self.dim, self.size, self.source = dim, size, source
        """The dim of this tensor, how far the whole model counts, and where the code got that number."""


class NumberSource(Record):
    """Where the model's code got a number that differs between ranks and the whole model."""

    kind: Literal["size", "numel", "attribute"]
    type: SpmdType | None = None
    """Of the tensor whose size the code read."""
    dim: int | None = None
    attribute: str = ""


INVARIANT = SpmdType("replicate")
"""I: the same numbers on all ranks, and the same gradient: every rank computes it whole."""
REPLICATED = SpmdType("replicate (gradient: partial)")
"""R: the same numbers on all ranks; the gradient is the sum of what the ranks compute."""
CONSTANT = SpmdType("replicate (no gradient)")
"""The same numbers on all ranks, without a gradient: it may stand for I and for R."""
PARTIAL = SpmdType("partial")
"""P: the value is the sum of what the ranks hold; each rank gets the whole gradient."""
DEFERRED_BIAS = SpmdType("bias after the all-reduce")
"""A bias that a rowwise module adds once, after its sums are taken."""
UNKNOWN = SpmdType("unknown")
"""Not known: an operation without a rule gave it, or one whose fault is reported."""

SAME_ON_ALL_RANKS = (INVARIANT, REPLICATED, CONSTANT)


@cache
def sharded(dim: int) -> Sharded:
    """S(dim)."""
    return Sharded(dim)


@cache
def packed_shard(dim: int, parts: tuple[int, ...]) -> PackedShard:
    """A packed shard."""
    return PackedShard(dim, parts)


@cache
def local_index(dim: int, size: int, source: NumberSource | None = None) -> LocalIndex:
    """Positions 0, 1, ... along `dim` that each rank counts from its own start."""
    return LocalIndex(dim, size, source)


def sharded_dim(spmd_type: SpmdType) -> int | None:
    """The dim along which ranks hold slices."""
    return spmd_type.dim if isinstance(spmd_type, Sharded | PackedShard) else None


def local_shape(shape: tuple[int, ...], spmd_type: SpmdType, ranks: int) -> tuple[int, ...]:
    """The shape that one rank holds."""
    dim = spmd_type.dim if isinstance(spmd_type, LocalIndex) else sharded_dim(spmd_type)
    if dim is None:
        return shape
    return (*shape[:dim], shape[dim] // ranks, *shape[dim + 1 :])
