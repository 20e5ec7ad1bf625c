"""What each rank has of a value, on one axis of the mesh.

The types are those of spmd_types (I, R, P, S), and a few more. Ranks that have the same numbers
may still have different gradients, so that a plan's «replicate» is two types here. Types are interned:
they are compared by identity.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from planc.ir.record import Record


class SpmdType:
    """The type of a value on one axis."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


class Sharded(SpmdType):
    """S(dim): each rank has a slice along a dim, and the gradient of that slice."""

    __slots__ = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(f"shard({dim})")
        self.dim = dim
        """Never negative."""


class PackedShard(SpmdType):
    """A shard of a dim that is several parts in a row, each sharded by itself: a rank has its slice of
    the first part, then its slice of the second, and so on."""

    __slots__ = ("dim", "parts")

    def __init__(self, dim: int, parts: tuple[int, ...]) -> None:
        super().__init__(f"packed shard({dim})")
        self.dim, self.parts = dim, parts
        """The global size of each part."""


class LocalIndex(SpmdType):
    """0, 1, 2, ... along a sharded dim, counted by each rank from the start of its own slice. As an index
    into that slice it is right; as a position in the whole dim it is wrong."""

    __slots__ = ("dim", "size", "source")

    def __init__(self, dim: int, size: int, source: NumberSource | None) -> None:
        super().__init__(f"local positions({dim})")
        self.dim, self.size, self.source = dim, size, source
        """The dim of this tensor, the number of positions in the whole model, and where the code got that number."""


class NumberSource(Record):
    """Where the model's code got a number that differs between ranks and the whole model."""

    kind: Literal["size", "numel", "attribute"]
    type: SpmdType | None = None
    """Of the tensor whose size the code read."""
    dim: int | None = None
    attribute: str = ""


class NumberPart(Record):
    """A number that the model's code read, and computes another one from."""

    source: NumberSource
    global_value: int | float
    local_value: int | float
    """On a rank."""


INVARIANT = SpmdType("replicate")
"""I: the same numbers on all ranks, and the full gradient on every rank."""
REPLICATED = SpmdType("replicate (gradient: partial)")
"""R: the same numbers on all ranks; the gradient is the sum of the ranks' gradients."""
CONSTANT = SpmdType("replicate (no gradient)")
"""The same numbers on all ranks, without a gradient: it serves as I and as R."""
PARTIAL = SpmdType("partial")
"""P: the value is the sum of the ranks' values; every rank gets the full gradient."""
AVERAGE = SpmdType("mean over the ranks")
"""The value is the mean of the ranks' values, and every rank gets the full gradient. On an axis that splits the batch evenly
and averages gradients, a mean over the batch is such a value."""
DEFERRED_BIAS = SpmdType("bias after the all-reduce")
"""A bias that a rowwise module adds once, after the all-reduce of its output."""
UNKNOWN = SpmdType("unknown")
"""The proof cannot tell: the result of an operation without a rule, or of one with a violation."""

SAME_ON_ALL_RANKS = (INVARIANT, REPLICATED, CONSTANT)


@cache
def sharded(dim: int) -> Sharded:
    """S(dim)."""
    return Sharded(dim)


@cache
def packed_shard(dim: int, parts: tuple[int, ...]) -> PackedShard:
    """A shard of a dim whose parts, of these global sizes, are each sharded by themselves."""
    return PackedShard(dim, parts)


@cache
def local_index(dim: int, size: int, source: NumberSource | None = None) -> LocalIndex:
    """Positions 0, 1, ... along `dim` that each rank counts from its own start."""
    return LocalIndex(dim, size, source)


def sharded_dim(spmd_type: SpmdType) -> int | None:
    """The dim along which ranks have slices; None: there is none."""
    return spmd_type.dim if isinstance(spmd_type, Sharded | PackedShard) else None


def local_shape(shape: tuple[int, ...], spmd_type: SpmdType, ranks: int) -> tuple[int, ...]:
    """The shape of a rank's part of a tensor.

    Args:
        shape: the global shape.
        spmd_type: the type of the tensor.
        ranks: the size of the axis.
    """
    dim = spmd_type.dim if isinstance(spmd_type, LocalIndex) else sharded_dim(spmd_type)
    if dim is None:
        return shape
    return (*shape[:dim], shape[dim] // ranks, *shape[dim + 1 :])
