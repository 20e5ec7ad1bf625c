"""The collectives of boundaries, on two processes, against sums and slices by hand."""

from __future__ import annotations

import pytest

from planc.torch.apply import c10d
from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize("large", [1, c10d.MIN_SLICE_BYTES], ids=["slices by themselves", "slices together"])
def test_every_way_is_the_same(large: int) -> None:
    """Asked for directly, seen by a mode, and compiled; along each dim, of tensors that are not contiguous."""
    for found in run_on_ranks(2, "torch.apply.collectives:collective_paths", large=large):
        assert found == []
