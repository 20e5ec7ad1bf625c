"""Compiled layers: one graph for all that are alike, without breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("torch")

from tests.apply.ranks import Ranks

LAYERS = 10
"""More than torch compiles anew before it gives up."""


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    started = Ranks(4)
    yield started
    started.close()


def test_one_graph_for_all_layers(ranks: Ranks) -> None:
    """And one for the first, which splits the sequence."""
    for found in ranks.ask("compiled:llama", sizes={"dp": 1, "tp": 4}, layers=LAYERS, recompute=False):
        assert found["worst"] < 1e-5
        assert found["breaks"] == []
        assert found["graphs"] == 2


@pytest.mark.parametrize("recompute", [False, True])
def test_numbers_beside_fsdp(ranks: Ranks, recompute: bool) -> None:
    for found in ranks.ask("compiled:llama", sizes={"dp": 2, "tp": 2}, layers=2, recompute=recompute):
        assert found["worst"] < 1e-5
