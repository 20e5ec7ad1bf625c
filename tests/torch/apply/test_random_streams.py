"""A forward pass that raises between two calls of a module does not shift the random streams of later passes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize("recompute", [False, True])
def test_passes_that_end_early_leave_no_trace(recompute: bool) -> None:
    """Sharded values are dropped differently on each rank, replicated ones alike, in each pass and again in its
    backward pass."""
    for found in run_on_ranks(2, "torch.apply.random_streams:passes", recompute=recompute):
        assert len(found) == 4
        for alike in found:
            assert alike[:4] == [False, True, False, True]
            assert len(alike) == (8 if recompute else 4)
            assert sorted(alike[4:]) == sorted(alike[:4] if recompute else [])
