"""Changes of layout, and their collectives in the forward and the backward pass."""

from __future__ import annotations

import pytest

from planc.ir.layout import PARTIAL as PARTIAL_LAYOUT
from planc.ir.layout import REPLICATE, LayoutRef, Shard
from planc.proof.boundary.transitions import matches_layout, transition_between, type_of_layout
from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, SpmdType, packed_shard, sharded
from planc.proof.unproved import NoCollective, UnsupportedLayout
from planc.proof.violations import MissingDim, PackedGather, UnevenDim


@pytest.mark.parametrize(
    ("before", "after", "forward", "backward"),
    [
        (INVARIANT, REPLICATED, None, "all_reduce"),
        (INVARIANT, sharded(1), None, "all_gather"),
        (REPLICATED, sharded(1), None, None),
        (CONSTANT, sharded(1), None, None),
        (sharded(1), REPLICATED, "all_gather", "reduce_scatter"),
        (sharded(1), INVARIANT, "all_gather", None),
        (sharded(0), sharded(1), "all_to_all", "all_to_all"),
        (PARTIAL, INVARIANT, "all_reduce", None),
        (PARTIAL, REPLICATED, "all_reduce", "all_reduce"),
        (PARTIAL, sharded(1), "reduce_scatter", "all_gather"),
        (sharded(1), sharded(1), None, None),
        (CONSTANT, REPLICATED, None, None),
    ],
)
def test_collectives(before: SpmdType, after: SpmdType, forward: str | None, backward: str | None) -> None:
    transition = transition_between(before, after, grad=True)
    assert (transition.forward, transition.backward) == (forward, backward)
    assert transition_between(before, after, grad=False).backward is None


def test_no_collective() -> None:
    packed = packed_shard(1, (4, 4))
    for after in (REPLICATED, sharded(0)):
        with pytest.raises(RuleViolation) as refused:
            transition_between(packed, after, grad=True)
        assert refused.value.cause == PackedGather(packed)
    with pytest.raises(Unsupported) as unsupported:
        transition_between(REPLICATED, PARTIAL, grad=True)
    assert unsupported.value.cause == NoCollective(REPLICATED, PARTIAL)


def test_types_of_layouts() -> None:
    shape = (2, 6, 8)
    assert type_of_layout(REPLICATE, shape, 2, INVARIANT) is INVARIANT
    assert type_of_layout(PARTIAL_LAYOUT, shape, 2, INVARIANT) is PARTIAL
    assert type_of_layout(Shard(-1), shape, 2, INVARIANT) is sharded(2)
    with pytest.raises(RuleViolation) as refused:
        type_of_layout(Shard(1), shape, 4, INVARIANT)
    assert refused.value.cause == UnevenDim(1, 6, ranks=4)
    with pytest.raises(RuleViolation) as refused:
        type_of_layout(Shard(3), shape, 2, INVARIANT)
    assert refused.value.cause == MissingDim(3, ndim=3)
    with pytest.raises(Unsupported) as unsupported:
        type_of_layout(LayoutRef("stream"), shape, 2, INVARIANT)
    assert unsupported.value.cause == UnsupportedLayout(LayoutRef("stream"))


def test_what_a_declaration_matches() -> None:
    assert all(matches_layout(spmd_type, REPLICATE, 3) for spmd_type in (INVARIANT, REPLICATED, CONSTANT))
    assert matches_layout(sharded(2), Shard(-1), 3)
    assert not matches_layout(sharded(1), Shard(-1), 3)
    assert matches_layout(PARTIAL, PARTIAL_LAYOUT, 3)
    assert not matches_layout(PARTIAL, REPLICATE, 3)
