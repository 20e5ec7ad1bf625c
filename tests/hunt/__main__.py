"""The hunt for plans that fool the checker: both judges speak of thousands of mutants.

    python -m tests.hunt                      all of it, and docs/soundness.md; `make hunt`
    python -m tests.hunt --only llama --variants 2
    python -m tests.hunt --replay llama:6:2:13

What is found is kept in build/hunt; a hunt that was broken off goes on from there. Exit status 1: a wrong
plan was called right, or more was missed than is allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby, islice
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from planc.syntax.unparse import unparse
from tests.hunt.bases import CASES_PER_VARIANT, base_plan, bases, cases_of, variants_of
from tests.hunt.report import failures_of, write_page
from tests.hunt.table import AgreementTable, replay_of
from tests.hunt.worker_pool import Job, WorkerPool
from tests.rank_pool import ROOT

SEED = 6
VARIANTS = 7
"""Models, meshes and options of each family."""
RESULTS_FOLDER = ROOT / "build" / "hunt"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hunt", description="hunt for plans that fool the checker"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--variants", type=int, help=f"models, meshes and options of each family (default: {VARIANTS})"
    )
    parser.add_argument("--only", nargs="+", metavar="BASE", help="families or plain modules")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier hunt has found")
    parser.add_argument("--replay", metavar="BASE:SEED:VARIANT:NUMBER", help="one case, with its plan")
    given = parser.parse_args()
    if given.replay:
        return _replay(given.replay)
    known = bases()
    unknown = [name for name in given.only or () if name not in known]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    names = given.only or list(known)
    hunt = _Hunt(given.seed, names, given.variants or VARIANTS, fresh=given.fresh)
    hunt.run(given.workers)
    table = AgreementTable(hunt.found())
    if given.only is None and given.variants is None:
        write_page(table, given.seed)
    faults = failures_of(table)
    print(f"{len(table.mutants)} mutants, {len(table.same)} in other words, {table.no_plan} no plans")
    print("\n".join(faults))
    return 1 if faults else 0


class _Hunt:
    """Cases of one seed, and what was found of them, now or in a hunt before."""

    def __init__(self, seed: int, names: Sequence[str], variants: int, *, fresh: bool) -> None:
        self._path = RESULTS_FOLDER / f"{seed}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._path.unlink(missing_ok=True)
        # In turn: what is found in the first minutes is of all families.
        self._all = [
            (name, number, draw)
            for number in range(variants)
            for name in names
            if number < len(variants_of(name, seed, variants))
            for draw in range(CASES_PER_VARIANT)
        ]
        self._seed = seed
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        self._known = {_key(found): found for found in map(json.loads, lines)}

    def found(self) -> list[dict[str, Any]]:
        """What is known of the cases."""
        return [self._known[key] for key in self._all if key in self._known]

    def run(self, workers: int) -> None:
        """Ask for what is not known."""
        jobs, total = self._jobs(), len(self._all)
        if not jobs:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        pool = WorkerPool(workers)
        try:
            with (
                Progress(*columns, console=Console(stderr=True)) as progress,
                self._path.open("a", encoding="utf-8") as file,
            ):
                bar = progress.add_task("hunting", total=total, completed=len(self.found()))
                for found in pool.run(jobs):
                    self._known[_key(found)] = found
                    file.write(json.dumps(found) + "\n")
                    file.flush()
                    if AgreementTable([found]).unsound():
                        progress.print(f"[red]wrong and called right[/]: {replay_of(found)} {found['why']}")
                    progress.update(bar, advance=1, description=found["base"])
        finally:
            pool.close()

    def _jobs(self) -> list[Job]:
        left = [key for key in self._all if key not in self._known]
        return [
            {
                "base": base,
                "seed": self._seed,
                "variant": variant,
                "numbers": [number for _, _, number in keys],
            }
            for (base, variant), keys in groupby(left, lambda key: key[:2])
        ]


def _key(found: dict[str, Any]) -> tuple[str, int, int]:
    return found["base"], found["variant"], found["number"]


def _replay(words: str) -> int:
    from tests.hunt.worker import judge_cases

    base, *numbers = words.split(":")
    seed, variant, number = map(int, numbers)
    *_, case = islice(cases_of(base, seed, variant, number + 1), number + 1)
    print(unparse(base_plan(case.family) if case.mutant is None else case.mutant.plan))
    print(case.command)
    for found in judge_cases({"base": base, "seed": seed, "variant": variant, "numbers": [number]}):
        print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
