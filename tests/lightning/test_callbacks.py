"""Callbacks of Lightning, and runs after other runs, on a model that a plan splits; the unsplit model is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")

from tests.rank_pool import run_on_ranks


def run(name: str, ranks: int = 2, **options: Any) -> Any:
    return run_on_ranks(ranks, f"lightning.callbacks:{name}", **options)[0]


def test_runs_after_a_checkpoint_was_removed(tmp_path: Path) -> None:
    assert run("later_runs", folder=str(tmp_path)) == ["epoch=2-step=12.ckpt"]


def test_a_run_after_a_search_for_a_learning_rate(tmp_path: Path) -> None:
    assert run("after_a_search", folder=str(tmp_path)) == 8


def test_an_error_of_the_user_stays_the_user_s() -> None:
    assert run("after_an_error") == {"error": "the user's DTensor placement", "notes": [], "steps": 8}


@pytest.mark.parametrize("kind", ["finetuning", "averaging"])
def test_a_callback_that_handles_parameters(kind: str) -> None:
    whole, split = (
        run("callback_weights", 2 if split else 1, kind=kind, split=split) for split in (False, True)
    )
    assert split == [pytest.approx(values, abs=1e-5) for values in whole]


def test_a_link_to_a_checkpoint_that_is_written_in_the_background(tmp_path: Path) -> None:
    assert run("linked", folder=str(tmp_path)) == ["epoch=1-step=8.ckpt", "last.ckpt"]


def test_example_inputs_of_a_target() -> None:
    whole, split = (run("target_weights", 2 if split else 1, split=split) for split in (False, True))
    assert split == [pytest.approx(values, abs=1e-5) for values in whole]
