"""Both judges on mutants: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hunt.bases import MESHES, bases
from tests.hunt.pool import Job, Pool
from tests.hunt.report import faults_of
from tests.hunt.table import Table

SEED = 11
CHUNKS = 6
FAMILY, NET = 8, 2
"""Mutants of a shipped family, and of a plain module."""


def jobs(names: list[str]) -> Iterator[Job]:
    """Each base plan on one mesh, with the sequence split or whole, in turn."""
    for number, name in enumerate(names):
        count = FAMILY if bases()[name].text is None else NET
        split = number // len(MESHES) % 2 == 0
        yield {"base": name, "mesh": number % len(MESHES), "split": split, "seed": SEED, "start": 0, "count": count}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_plan_is_called_right(chunk: int) -> None:
    every = list(jobs(list(bases())))[chunk::CHUNKS]
    pool = Pool(1)
    try:
        table = Table(list(pool.run(every)))
    finally:
        pool.close()
    counts = table.counts()
    assert not table.unsound(), "\n".join(faults_of(table))
    assert not table.bad_fixes(), "\n".join(faults_of(table))
    assert len(table.strict()) + len(table.unproved()) <= 1 + len(table.mutants) // 30, "\n".join(faults_of(table))
    # Neither judge says the same of all.
    assert counts["proved", "right"] >= len(every) // 2
    assert counts["refuted", "wrong"] >= len(every) // 2
