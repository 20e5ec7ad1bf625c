"""Compiled layers: one graph for all that are alike, without breaks."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.saved_for_backward import INNER

LAYERS = 10
"""More than torch compiles anew before it gives up."""
SIZES = {"dp": 2, "tp": 2}


@pytest.fixture(scope="module")
def plain() -> Any:
    """Without a region that is recomputed."""
    return run_on_ranks(4, "torch.apply.compiled:compiled_step", sizes=SIZES, mode=None)[0]


@pytest.mark.parametrize("mode", [None, "full"])
def test_one_graph_for_all_layers(mode: str | None) -> None:
    for found in run_on_ranks(
        4,
        "torch.apply.compiled:compiled_step",
        sizes={"dp": 1, "tp": 4},
        mode=mode,
        layers={"num_hidden_layers": LAYERS},
    ):
        assert found["worst"] < 1e-5
        assert found["breaks"] == []
        assert found["graphs"] == 1


@pytest.mark.parametrize("mode", ["full", "save(matmul)", "save(attention, collective)"])
def test_recomputed_beside_fsdp(plain: Any, mode: str) -> None:
    """What is saved is not run again, and the rest is: but for what no gradient needs."""
    assert plain["worst"] < 1e-5
    for found in run_on_ranks(4, "torch.apply.compiled:compiled_step", sizes=SIZES, mode=mode):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)
        assert found["forward"] == plain["forward"]
        for kind in ("matmul", "attention", "collective"):
            repeats = found["backward"].get(kind, 0) - plain["backward"].get(kind, 0)
            assert repeats == 0 if kind in mode else repeats > 0, kind


@pytest.mark.parametrize("mode", [None, "full"])
def test_a_plan_that_asks_for_overlap(mode: str | None) -> None:
    """Compiled layers are as without it: a compiler orders what is in them."""
    for found in run_on_ranks(4, "torch.apply.compiled:compiled_step", sizes=SIZES, mode=mode, overlap=True):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)


@pytest.mark.parametrize("mode", ["full", "save(matmul)"])
def test_biases_that_are_added_late(mode: str) -> None:
    for found in run_on_ranks(4, "torch.apply.compiled:compiled_step", name="gpt2", sizes=SIZES, mode=mode):
        assert found["worst"] < 1e-5
        assert (found["breaks"], found["graphs"]) == ([], 1)


def test_options() -> None:
    """They are arguments of torch.compile; a copy of a compiled module computes with its own weights."""
    assert run_on_ranks(4, "torch.apply.compiled:compile_options", lines="") == [[{}, {}, 0.0]] * 4
    settings = "mode: max-autotune-no-cudagraphs, dynamic: false\nfullgraph: true, backend: inductor"
    wanted = {
        "mode": "max-autotune-no-cudagraphs",
        "dynamic": False,
        "fullgraph": True,
        "backend": "inductor",
    }
    assert (
        run_on_ranks(4, "torch.apply.compiled:compile_options", lines=settings) == [[wanted, wanted, 0.0]] * 4
    )
    for reason, changed in run_on_ranks(
        4, "torch.apply.compiled:compile_options", lines="backend: inducktor"
    ):
        assert reason.startswith("compile with backend 'inducktor': this torch has ")
        assert "inductor" in reason
        assert not changed


@pytest.mark.parametrize("compiles", [False, True])
def test_full_keeps_the_inputs_of_the_region_alone(compiles: bool) -> None:
    kept = partial(run_on_ranks, 2, "torch.apply.saved_for_backward:saved_by_blocks", compiles=compiles)
    assert kept(recompute="model.layers.*  full") == [[], []]
    assert all(len(shapes) > 10 for shapes in kept(recompute=""))


def test_full_in_what_is_compiled() -> None:
    """A region in a compiled module: nothing of its inside is kept."""
    kept = partial(run_on_ranks, 2, "torch.apply.saved_for_backward:saved_by_blocks", compiles=True)
    for with_region, without in zip(
        kept(recompute="model.layers.*.mlp  full"), kept(recompute=""), strict=True
    ):
        assert [shape for shape in with_region if shape[-1] == INNER] == []
        assert [shape for shape in without if shape[-1] == INNER] != []
