"""Both judges on mutants: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hunt.bases import bases
from tests.hunt.report import failures_of
from tests.hunt.table import AgreementTable, replay_of
from tests.hunt.worker_pool import WorkerPool
from tests.rank_pool import call_in_fork

SEED = 11
CHUNKS = 6
COUNT = 9
"""Cases of each family."""


def jobs(names: list[str], numbers: list[int]) -> list[dict[str, Any]]:
    return [{"base": name, "seed": SEED, "variant": 0, "numbers": numbers} for name in names]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_plan_is_called_right(chunk: int) -> None:
    names = list(bases())[chunk::CHUNKS]
    given = jobs(names, list(range(COUNT)))
    table = AgreementTable(call_in_fork("tests.hunt.worker:judge_jobs", seconds=900, jobs=given))
    message = "\n".join(failures_of(table))
    assert not table.unsound(), message
    assert not table.bad_fixes(), message
    assert len(table.strict()) + len(table.unproved()) <= 1 + len(table.mutants) // 30, message
    # Neither judge says the same of all.
    spoken = {(found["checker"], found["numbers"]) for found in table.mutants}
    assert {("proved", "right"), ("refuted", "wrong")} <= spoken
    assert len(table.mutants) >= COUNT * len(names) // 5


def test_a_blind_checker_is_caught() -> None:
    """A norm's gradient that stays in parts, and a norm that is called what it is not."""
    numbers = [9, 11]
    made = WorkerPool(1, ignored_laws=("L701", "L706"))
    try:
        table = AgreementTable(list(made.run(jobs(["llama"], numbers))))
    finally:
        made.close()
    assert [replay_of(found) for found in table.unsound()] == [f"llama:{SEED}:0:{n}" for n in numbers]
