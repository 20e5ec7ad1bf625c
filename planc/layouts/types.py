"""What a value can be on one axis of the mesh.

The types are those of spmd_types (R, I, P, S) and what planc adds to them. Two ranks that
hold the same numbers may still differ in what their gradients are, so «replicate» is two
types here. Types are interned: they are compared by identity.
"""

from __future__ import annotations

from functools import cache


class Type:
    """A type of a value on one axis."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


class Split(Type):
    """S(dim): each rank holds a slice along a dim, and the gradient of that slice."""

    __slots__ = ("dim",)

    def __init__(self, dim: int) -> None:
        super().__init__(f"shard({dim})")
        self.dim = dim
        """Counted from the first, never negative."""


class Packed(Type):
    """A dim that is several parts one behind the other, each cut by itself: a rank holds
    its slice of the first part, then its slice of the second, ..."""

    __slots__ = ("dim", "parts")

    def __init__(self, dim: int, parts: tuple[int, ...]) -> None:
        super().__init__(f"packed shard({dim})")
        self.dim, self.parts = dim, parts
        """The whole size of each part."""


class Counted(Type):
    """0, 1, 2, ... along a dim of which each rank holds a slice, counted by each rank from its
    own start. It finds entries of that slice, and is wrong as anything else."""

    __slots__ = ("dim", "size")

    def __init__(self, dim: int, size: int, text: str) -> None:
        super().__init__(text)
        self.dim, self.size = dim, size
        """The dim of this tensor, and how far the whole model counts."""


INVARIANT = Type("replicate")
"""I: the same numbers on all ranks, and the same gradient: every rank computes it whole."""
REPLICATED = Type("replicate, its gradient in parts")
"""R: the same numbers on all ranks; the gradient is the sum of what the ranks compute."""
CONSTANT = Type("the same on all ranks")
"""The same numbers on all ranks, without a gradient: it may stand for I and for R."""
PARTIAL = Type("partial")
"""P: the value is the sum of what the ranks hold; each rank gets the whole gradient."""
LATE = Type("added after the sum")
"""A bias that a rowwise module adds once, after its sums are taken."""
UNKNOWN = Type("unknown")
"""Not known: an operation without a rule gave it, or one whose fault is reported."""

WHOLE = (INVARIANT, REPLICATED, CONSTANT)


@cache
def split(dim: int) -> Split:
    """S(dim)."""
    return Split(dim)


@cache
def packed(dim: int, parts: tuple[int, ...]) -> Packed:
    """A packed shard."""
    return Packed(dim, parts)


@cache
def counted(dim: int, size: int, text: str) -> Counted:
    """Positions counted by each rank from its own start; `text` says by what size."""
    return Counted(dim, size, text)


def cut_dim(kind: Type) -> int | None:
    """The dim along which ranks hold slices."""
    return kind.dim if isinstance(kind, Split | Packed) else None


def local_shape(shape: tuple[int, ...], kind: Type, ranks: int) -> tuple[int, ...]:
    """The shape that one rank holds."""
    dim = kind.dim if isinstance(kind, Counted) else cut_dim(kind)
    if dim is None:
        return shape
    return (*shape[:dim], shape[dim] // ranks, *shape[dim + 1 :])
