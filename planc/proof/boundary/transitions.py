"""Changes of layout at the inputs and outputs of modules, and the collectives that they need.

The forward and backward collectives are those of Megatron-LM's conjugate operators (Shoeybi et al.,
arXiv:1909.08053, and arXiv:2205.05198 for sequence parallelism) and of spmd_types: identity and all-reduce,
all-gather and reduce-scatter, slice and all-gather.
"""

from __future__ import annotations

from planc.ir.layout import Layout, Partial, Replicate, Shard
from planc.ir.record import Record
from planc.proof.result import CollectiveKind
from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import (
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    PackedShard,
    Sharded,
    SpmdType,
    sharded,
)
from planc.proof.unproved import NoCollective, UnsupportedLayout
from planc.proof.violations import MissingDim, PackedGather, UnevenDim


class Transition(Record):
    """The collectives of a change of layout."""

    forward: CollectiveKind | None
    """In the forward pass; None: there is none."""
    backward: CollectiveKind | None
    """In the backward pass."""


_NO_COLLECTIVE = Transition(None, None)
_TRANSITIONS: dict[tuple[str, str], Transition] = {
    ("I", "R"): Transition(None, "all_reduce"),
    ("I", "S"): Transition(None, "all_gather"),
    ("R", "S"): _NO_COLLECTIVE,
    ("C", "S"): _NO_COLLECTIVE,
    ("S", "R"): Transition("all_gather", "reduce_scatter"),
    ("S", "I"): Transition("all_gather", None),
    ("S", "C"): Transition("all_gather", None),
    ("S", "S"): Transition("all_to_all", "all_to_all"),
    ("P", "I"): Transition("all_reduce", None),
    ("P", "R"): Transition("all_reduce", "all_reduce"),
    ("P", "C"): Transition("all_reduce", None),
    ("P", "S"): Transition("reduce_scatter", "all_gather"),
}
_LETTERS = {INVARIANT: "I", REPLICATED: "R", CONSTANT: "C", PARTIAL: "P"}


def transition_between(before: SpmdType, after: SpmdType, *, grad: bool) -> Transition:
    """The collectives that turn one type into another.

    Args:
        before: the type that arrives.
        after: the type that is needed.
        grad: whether the value has a gradient.

    Raises:
        RuleViolation: an all-gather would put the parts of a packed shard in the order of the ranks.
        Unsupported: no collective makes this change.
    """
    if isinstance(before, PackedShard) and (after in SAME_ON_ALL_RANKS or isinstance(after, Sharded)):
        raise RuleViolation(PackedGather(before))
    if before is after or (before is CONSTANT and after in SAME_ON_ALL_RANKS):
        return _NO_COLLECTIVE
    found = _TRANSITIONS.get((_letter(before), _letter(after)))
    if found is None:
        raise Unsupported(NoCollective(before, after))
    return found if grad else Transition(found.forward, None)


def _letter(kind: SpmdType) -> str:
    return "S" if isinstance(kind, Sharded) else _LETTERS.get(kind, "?")


def matches_layout(spmd_type: SpmdType, layout: Layout, ndim: int) -> bool:
    """Whether a value of this type, with `ndim` dims, has the layout that a plan declares."""
    if isinstance(layout, Replicate):
        return spmd_type in SAME_ON_ALL_RANKS
    if isinstance(layout, Partial):
        return spmd_type is PARTIAL
    return (
        isinstance(layout, Shard)
        and isinstance(spmd_type, Sharded)
        and spmd_type.dim == _nonnegative_dim(layout, ndim)
    )


def type_of_layout(layout: Layout, shape: tuple[int, ...], ranks: int, replicate_type: SpmdType) -> SpmdType:
    """The type that a declared layout stands for.

    Args:
        layout: the layout.
        shape: the global shape of the value.
        ranks: the size of the axis.
        replicate_type: the type that «replicate» stands for here.

    Raises:
        RuleViolation: the value lacks the dim, or the ranks cannot share it evenly.
        Unsupported: the layout is not one of a single dim.
    """
    if isinstance(layout, Replicate):
        return replicate_type
    if isinstance(layout, Partial):
        return PARTIAL
    if not isinstance(layout, Shard):
        raise Unsupported(UnsupportedLayout(layout))
    dim = _nonnegative_dim(layout, len(shape))
    if not 0 <= dim < len(shape):
        raise RuleViolation(MissingDim(layout.dim, len(shape)))
    if shape[dim] % ranks:
        raise RuleViolation(UnevenDim(dim, shape[dim], ranks))
    return sharded(dim)


def _nonnegative_dim(layout: Shard, ndim: int) -> int:
    return layout.dim + ndim if layout.dim < 0 else layout.dim
