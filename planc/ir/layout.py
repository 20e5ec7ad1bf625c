"""Layouts: how one tensor lies on one axis of the mesh."""

from __future__ import annotations

from planc.ir.record import Record
from planc.ir.scalar import Scalar, parse_registered

MAX_DIMS = 64
"""Dims a tensor can have: the limit of torch's reductions and iterators."""


class Layout(Record, Scalar):
    """One of `Replicate`, `Shard`, `Partial`, or the `Named` of a `let`."""

    description = "replicate, partial, shard(DIM), or the name of a let"

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Read a layout, as `shard(1)`.

        Raises:
            planc.ir.scalar.ScalarError: the text is not a layout.
        """
        layout: Layout = parse_registered(Layout, text)
        return layout


class Replicate(Layout):
    """Every rank has the full tensor."""

    def __str__(self) -> str:
        return "replicate"


class Shard(Layout):
    """Each rank has one slice along a dim."""

    dim: int
    """The dim that is cut; negative counts from the last."""
    parts: int = 1
    """Equal parts of the dim, each cut by itself: those of a fused parameter."""

    def __str__(self) -> str:
        return f"shard({self.dim})" if self.parts == 1 else f"shard({self.dim}, {self.parts})"


class Partial(Layout):
    """Each rank has a summand; the tensor is their sum over the axis."""

    def __str__(self) -> str:
        return "partial"


class LayoutRef(Layout):
    """The layout that a `let` names."""

    name: str

    def __str__(self) -> str:
        return self.name


REPLICATE = Replicate()
PARTIAL = Partial()
KEYWORD_LAYOUTS: dict[str, Layout] = {"replicate": REPLICATE, "partial": PARTIAL}
"""Layouts that are one word."""
