"""Both judges on mutants: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

import pytest

from tests.hunt.bases import bases
from tests.hunt.pool import Pool
from tests.hunt.report import faults_of
from tests.hunt.table import Table

SEED = 11
CHUNKS = 6
COUNT = 24
"""Cases of each family."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_plan_is_called_right(chunk: int) -> None:
    names = list(bases())[chunk::CHUNKS]
    pool = Pool(1)
    try:
        jobs = [{"base": name, "seed": SEED, "variant": 0, "numbers": list(range(COUNT))} for name in names]
        table = Table(list(pool.run(jobs)))
    finally:
        pool.close()
    assert not table.unsound(), "\n".join(faults_of(table))
    assert not table.bad_fixes(), "\n".join(faults_of(table))
    assert len(table.strict()) + len(table.unproved()) <= 1 + len(table.mutants) // 30, "\n".join(
        faults_of(table)
    )
    # Neither judge says the same of all.
    said = {(found["checker"], found["numbers"]) for found in table.mutants}
    assert {("proved", "right"), ("refuted", "wrong")} <= said
    assert len(table.mutants) >= COUNT * len(names) // 5
