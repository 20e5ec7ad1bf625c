"""The collectives of boundaries, on two processes, against sums and slices by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from planc.torch.apply import c10d
from tests.torch.apply.rank_server import Ranks


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    group = Ranks(2)
    yield group
    group.close()


@pytest.mark.parametrize("large", [1, c10d.MIN_SLICE_BYTES], ids=["slices by themselves", "slices together"])
def test_every_way_is_the_same(large: int, ranks: Ranks) -> None:
    """Asked for directly, seen by a mode, and compiled; along each dim, of tensors that are not contiguous."""
    for found in ranks.ask("collectives:collective_paths", large=large):
        assert found == []
