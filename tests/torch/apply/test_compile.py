"""Compiled layers: one graph for all that are alike, without breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.torch.apply.rank_server import Ranks

LAYERS = 10
"""More than torch compiles anew before it gives up."""
SIZES = {"dp": 2, "tp": 2}


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    started = Ranks(4)
    yield started
    started.close()


@pytest.fixture(scope="module")
def plain(ranks: Ranks) -> Any:
    """Without a region that is recomputed."""
    return ranks.ask("compiled:compiled_step", sizes=SIZES, mode=None)[0]


@pytest.mark.parametrize("mode", [None, "full"])
def test_one_graph_for_all_layers(ranks: Ranks, mode: str | None) -> None:
    for found in ranks.ask(
        "compiled:compiled_step", sizes={"dp": 1, "tp": 4}, mode=mode, layers={"num_hidden_layers": LAYERS}
    ):
        assert found["worst"] < 1e-5
        assert found["breaks"] == []
        assert found["graphs"] == 1


@pytest.mark.parametrize("mode", ["full", "save(matmul)", "save(attention, collective)"])
def test_recomputed_beside_fsdp(ranks: Ranks, plain: Any, mode: str) -> None:
    """What is saved is not run again, and the rest is: but for what no gradient needs."""
    assert plain["worst"] < 1e-5
    for found in ranks.ask("compiled:compiled_step", sizes=SIZES, mode=mode):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)
        assert found["forward"] == plain["forward"]
        for kind in ("matmul", "attention", "collective"):
            again = found["backward"].get(kind, 0) - plain["backward"].get(kind, 0)
            assert again == 0 if kind in mode else again > 0, kind


@pytest.mark.parametrize("mode", [None, "full"])
def test_a_plan_that_asks_for_overlap(ranks: Ranks, mode: str | None) -> None:
    """Compiled layers are as without it: a compiler orders what is in them."""
    for found in ranks.ask("compiled:compiled_step", sizes=SIZES, mode=mode, overlap=True):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)


@pytest.mark.parametrize("mode", ["full", "save(matmul)"])
def test_biases_that_are_added_late(ranks: Ranks, mode: str) -> None:
    for found in ranks.ask("compiled:compiled_step", name="gpt2", sizes=SIZES, mode=mode):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)


def test_options(ranks: Ranks) -> None:
    """They are arguments of torch.compile; a copy of a compiled module computes with its own weights."""
    assert ranks.ask("compiled:compile_options", lines="") == [[{}, {}, 0.0]] * 4
    said = "mode: max-autotune-no-cudagraphs, dynamic: false\nfullgraph: true, backend: inductor"
    wanted = {
        "mode": "max-autotune-no-cudagraphs",
        "dynamic": False,
        "fullgraph": True,
        "backend": "inductor",
    }
    assert ranks.ask("compiled:compile_options", lines=said) == [[wanted, wanted, 0.0]] * 4
    for reason, changed in ranks.ask("compiled:compile_options", lines="backend: inducktor"):
        assert reason.startswith("compile with backend 'inducktor': this torch has ")
        assert "inductor" in reason
        assert not changed
