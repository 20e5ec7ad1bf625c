"""Both judges on mutated models: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hunt.bases import bases
from tests.hunt.models.model_table import ModelTable, faults_in
from tests.rank_pool import call_in_fork

SEED = 11
CHUNKS = 4
NUMBERS = (5, 6)
"""Of the models of each base: one on tp, one on dp."""
SLOWEST = ("whisper", "t5", "deepseek_v3", "gemma3", "qwen3_moe", "mixtral")
"""Bases that `make hunt` alone runs."""


def jobs(names: list[str], numbers: list[int]) -> list[dict[str, Any]]:
    return [{"base": name, "seed": SEED, "models": numbers} for name in names]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_model_is_called_right(chunk: int) -> None:
    names = [name for name in bases() if name not in SLOWEST][chunk::CHUNKS]
    given = jobs(names, [NUMBERS[chunk % len(NUMBERS)]])
    table = ModelTable(call_in_fork("tests.hunt.worker:judge_jobs", seconds=600, jobs=given))
    message = "\n".join(faults_in(table, 0, 0))
    assert not table.unsound(), message
    # Neither judge says the same of all.
    assert {f["checker"] for f in table.mutants} > {"proved"}
    assert {f["numbers"] for f in table.mutants} == {"right", "wrong"}
    assert len(table.mutants) > 2 * len(names)
