"""Changes of layout at the inputs and outputs of modules, and the communication they need.

Forward and backward of each are those of the conjugate operators of Megatron-LM and of
spmd_types: identity and all-reduce, all-gather and reduce-scatter, slice and all-gather.
"""

from __future__ import annotations

from planc.ir.layout import Layout, Partial, Replicate, Shard
from planc.ir.record import Record
from planc.layouts.operation import NotKnown, Refused
from planc.layouts.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, WHOLE, Packed, Split, Type, split


class Change(Record):
    """What a change of layout costs."""

    forward: str | None
    """The collective of the forward pass; None: there is none."""
    backward: str | None


_NOTHING = Change(None, None)
_CHANGES: dict[tuple[str, str], Change] = {
    ("I", "R"): Change(None, "all_reduce"),
    ("I", "S"): Change(None, "all_gather"),
    ("R", "S"): _NOTHING,
    ("C", "S"): _NOTHING,
    ("S", "R"): Change("all_gather", "reduce_scatter"),
    ("S", "I"): Change("all_gather", None),
    ("S", "C"): Change("all_gather", None),
    ("S", "S"): Change("all_to_all", "all_to_all"),
    ("P", "I"): Change("all_reduce", None),
    ("P", "R"): Change("all_reduce", "all_reduce"),
    ("P", "C"): Change("all_reduce", None),
    ("P", "S"): Change("reduce_scatter", "all_gather"),
}
_LETTERS = {INVARIANT: "I", REPLICATED: "R", CONSTANT: "C", PARTIAL: "P"}


def change(before: Type, after: Type, *, grad: bool) -> Change:
    """What it takes to turn one type into another.

    Raises:
        Refused: what comes together would be in the order of the ranks, not of the parts.
        NotKnown: there is no such change.
    """
    if isinstance(before, Packed) and (after in WHOLE or isinstance(after, Split)):
        raise Refused("cut-along", f"{before} is brought together as if it were one part",
                      "its parts brought together one by one")  # fmt: skip
    if before is after or (before is CONSTANT and after in WHOLE):
        return _NOTHING
    found = _CHANGES.get((_letter(before), _letter(after)))
    if found is None:
        raise NotKnown(f"no communication turns {before} into {after}")
    return found if grad else Change(found.forward, None)


def _letter(kind: Type) -> str:
    return "S" if isinstance(kind, Split) else _LETTERS.get(kind, "?")


def is_as_declared(kind: Type, layout: Layout, ndim: int) -> bool:
    """Whether a value lies as a plan says that it does."""
    if isinstance(layout, Replicate):
        return kind in WHOLE
    if isinstance(layout, Partial):
        return kind is PARTIAL
    return isinstance(layout, Shard) and isinstance(kind, Split) and kind.dim == _dim(layout, ndim)


def target(layout: Layout, shape: tuple[int, ...], ranks: int, whole: Type) -> Type:
    """The type that a declared layout stands for; `whole` is the one of «replicate».

    Raises:
        Refused: the layout cuts a dim that the ranks cannot share evenly.
    """
    if isinstance(layout, Replicate):
        return whole
    if isinstance(layout, Partial):
        return PARTIAL
    if not isinstance(layout, Shard):
        raise NotKnown(f"a value cannot be brought to {layout}")
    dim = _dim(layout, len(shape))
    if not 0 <= dim < len(shape):
        raise Refused("cut-dim", f"a value of {len(shape)} dims has no dim {layout.dim}", "a dim that it has")
    if shape[dim] % ranks:
        raise Refused("cut-dim", f"dim {dim} has size {shape[dim]}, and {ranks} ranks share it",
                      f"a size that {ranks} divides")  # fmt: skip
    return split(dim)


def _dim(layout: Shard, ndim: int) -> int:
    return layout.dim + ndim if layout.dim < 0 else layout.dim
