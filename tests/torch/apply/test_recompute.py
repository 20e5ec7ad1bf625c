"""Regions that are run again in the backward pass."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.family_graphs import family_graph

SIZES = {"dp": 2, "tp": 2}


@pytest.fixture(scope="module")
def graph() -> str:
    return family_graph("llama")


@pytest.fixture(scope="module")
def plain(graph: str) -> list[Any]:
    """Without a region."""
    return run_on_ranks(4, "torch.apply.recompute:llama_step", graph=graph, sizes=SIZES, mode=None)


def assert_same_gradients(found: list[Any], plain: list[Any]) -> None:
    for one, other in zip(found, plain, strict=True):
        assert one["gradients"] == pytest.approx(other["gradients"], rel=1e-5, abs=1e-6)
        assert one["kept"] < other["kept"]


def test_full(graph: str, plain: list[Any]) -> None:
    found = run_on_ranks(4, "torch.apply.recompute:llama_step", graph=graph, sizes=SIZES, mode="full")
    assert_same_gradients(found, plain)
    for kind, times in found[0]["backward"].items():
        assert times > plain[0]["backward"][kind], kind


@pytest.mark.parametrize("save", ["matmul", "attention", "collective", "matmul, attention, collective"])
def test_save(graph: str, plain: list[Any], save: str) -> None:
    """What is saved runs in the backward pass as often as without a region, the rest once more."""
    found = run_on_ranks(
        4, "torch.apply.recompute:llama_step", graph=graph, sizes=SIZES, mode=f"save({save})"
    )
    assert_same_gradients(found, plain)
    for kind, times in found[0]["backward"].items():
        if kind in save:
            assert times == plain[0]["backward"][kind], kind
        else:
            assert times > plain[0]["backward"][kind], kind


@pytest.mark.parametrize("sizes", [{"dp": 4}, {"dp": 2, "tp": 2}], ids=str)
@pytest.mark.parametrize("mode", ["full", "save(matmul)"])
@pytest.mark.parametrize("region", ["blocks.*.up", "{head,embed}", "blocks.*.norm", "blocks.*.down", "root"])
def test_regions_with_parameters_of_their_own(sizes: dict[str, int], mode: str, region: str) -> None:
    """They are run again without their hooks: their parameters are the rank's all the same."""
    if region == "root" and mode != "full":
        why = "recompute with save(...) around 'blocks.0', which is a unit of FSDP: torch cannot do that"
        more = f"recompute {{ {region} {mode} }}\n"
        refused = run_on_ranks(
            4, "torch.apply.fsdp:rejection_reasons", sizes=sizes, lines=["blocks.*", "root"], more=more
        )
        assert len(refused[0]) == 1
        assert refused[0][0] in (why, why.replace("s.0", "s.1"))
        return
    plain = run_on_ranks(4, "torch.apply.recompute:toy_step", sizes=sizes, more="")
    found = run_on_ranks(
        4, "torch.apply.recompute:toy_step", sizes=sizes, more=f"recompute {{ {region} {mode} }}\n"
    )
    for one, other in zip(found, plain, strict=True):
        assert one["gradients"] == pytest.approx(other["gradients"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        # Units in a region: what it runs again is gathered once, and early.
        (["blocks.*", "root"], "recompute { root }\n"),
        (["blocks.*", "root"], "recompute { root\n blocks.* }\n"),
        (["blocks.*.down", "blocks.*", "root"], "recompute { blocks.* }\n"),
        # Regions in regions: the inner one runs again for the outer one, and once more for itself.
        (["root"], "recompute { blocks.*\n blocks.*.up save(matmul)\n blocks.*.down }\n"),
        (["root"], "recompute { root\n blocks.0\n blocks.1 save(collective) }\n"),
        (["root"], "recompute { root save(collective)\n blocks.0 }\n"),
        # What is kept is gathered once.
        (["blocks.0 keep", "blocks.1 reshard(1)", "root"], ""),
        (["params: bf16, reduce: fp32, output: fp32", "blocks.*", "root"], "recompute { blocks.* }\n"),
    ],
)
def test_the_forecast_of_regions_and_units_in_each_other(lines: list[str], more: str) -> None:
    for wrong in run_on_ranks(
        4, "torch.apply.collectives_vs_forecast:toy_forecast_mismatches", sizes=SIZES, lines=lines, more=more
    ):
        assert not wrong
