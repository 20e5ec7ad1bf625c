"""Both judges on mutants: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hunt.bases import bases
from tests.hunt.pool import Pool
from tests.hunt.report import faults_of
from tests.hunt.table import Table, replay_of

SEED = 11
CHUNKS = 6
COUNT = 9
"""Cases of each family."""


def jobs(names: list[str], numbers: list[int]) -> list[dict[str, Any]]:
    return [{"base": name, "seed": SEED, "variant": 0, "numbers": numbers} for name in names]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(1)
    yield made
    made.close()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_plan_is_called_right(chunk: int, pool: Pool) -> None:
    names = list(bases())[chunk::CHUNKS]
    table = Table(list(pool.run(jobs(names, list(range(COUNT))))))
    said = "\n".join(faults_of(table))
    assert not table.unsound(), said
    assert not table.bad_fixes(), said
    assert len(table.strict()) + len(table.unproved()) <= 1 + len(table.mutants) // 30, said
    # Neither judge says the same of all.
    spoken = {(found["checker"], found["numbers"]) for found in table.mutants}
    assert {("proved", "right"), ("refuted", "wrong")} <= spoken
    assert len(table.mutants) >= COUNT * len(names) // 5


def test_a_blind_checker_is_caught() -> None:
    """A norm's gradient that stays in parts, and a norm that is called what it is not."""
    numbers = [9, 11]
    made = Pool(1, blind=("L701", "L706"))
    try:
        table = Table(list(made.run(jobs(["llama"], numbers))))
    finally:
        made.close()
    assert [replay_of(found) for found in table.unsound()] == [f"llama:{SEED}:0:{n}" for n in numbers]
