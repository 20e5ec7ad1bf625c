"""The hunt for models that fool the checker: both judges speak of thousands of mutated models.

    python -m tests.hunt.models                      all of it, and docs/soundness.md; `make hunt`
    python -m tests.hunt.models --only llama decoder --models 20 --seconds 60
    python -m tests.hunt.models --replay llama:6:13:2

What is found is kept in build/hunt; a hunt that was broken off goes on from there. Exit status 1: wrong code
was called right, or more was missed than is allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.hunt.bases import bases
from tests.hunt.models.model_judge import SETTINGS
from tests.hunt.models.model_page import write_models_table
from tests.hunt.models.model_table import ModelTable, describe, faults_in
from tests.hunt.models.numbers_on_rank import NO_MODEL
from tests.hunt.worker_pool import Job, WorkerPool
from tests.rank_pool import ROOT

SEED = 6
MODELS = 56
"""Of each base: with six settings each, and some that are no models, 10,000 mutants and more."""
MODELS_OF_A_JOB = 4
MOST_STRICT, MOST_UNPROVED = 0.01, 0.03
RESULTS_FOLDER = ROOT / "build" / "hunt"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hunt.models", description="hunt for models that fool the checker"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--models", type=int, default=MODELS, help=f"of each base (default: {MODELS})")
    parser.add_argument("--only", nargs="+", metavar="BASE", help="families or plain modules")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, help="stop after so many, and go on another time")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier hunt has found")
    parser.add_argument("--replay", metavar="BASE:SEED:MODEL:SETTING", help="one case")
    given = parser.parse_args()
    if given.replay:
        return _replay(given.replay)
    known = bases()
    if unknown := [name for name in given.only or () if name not in known]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    path = RESULTS_FOLDER / f"models-{given.seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if given.fresh:
        path.unlink(missing_ok=True)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    done = {(f["base"], f["number"]) for f in found if _ends_a_model(f)}
    wanted = [(name, number) for number in range(given.models) for name in given.only or known]
    jobs: list[Job] = []
    # In turn: what is found in the first minutes is of all bases.
    for start in range(0, given.models, MODELS_OF_A_JOB):
        for name in given.only or known:
            numbers = [
                n for n in range(start, min(start + MODELS_OF_A_JOB, given.models)) if (name, n) not in done
            ]
            jobs += [{"base": name, "seed": given.seed, "models": numbers}] if numbers else []
    found += _hunt(jobs, given.workers, given.seconds, path, len(wanted))
    table = ModelTable(f for f in found if (f["base"], f["number"]) in set(wanted))
    if given.only is None:
        write_models_table(table, given.seed)
    faults = faults_in(table, MOST_STRICT, MOST_UNPROVED)
    print(f"{len(table.mutants)} mutants, {table.no_model} no models, {table.no_plan} no plans")
    print("\n".join(faults))
    return 1 if faults else 0


def _ends_a_model(found: dict[str, Any]) -> bool:
    """Whether nothing more is found of a model: a hunt may have been broken off between two settings."""
    return found["setting"] == SETTINGS - 1 or found["numbers"] == NO_MODEL


def _hunt(
    jobs: list[Job], workers: int, seconds: float | None, path: Any, total: int
) -> list[dict[str, Any]]:
    if not jobs:
        return []
    found: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool, end = WorkerPool(workers), time.monotonic() + (seconds or 1e9)
    try:
        with (
            Progress(*columns, console=Console(stderr=True)) as progress,
            path.open("a", encoding="utf-8") as file,
        ):
            left = sum(len(job["models"]) for job in jobs)
            bar = progress.add_task("hunting", total=total, completed=total - left)
            begun: set[Any] = set()
            for each in pool.run(jobs):
                found.append(each)
                file.write(json.dumps(each) + "\n")
                file.flush()
                if ModelTable([each]).unsound():
                    progress.print(f"[red]wrong and called right[/]: {describe(each)} {each['why']}")
                if (model := (each["base"], each["number"])) not in begun:
                    begun.add(model)
                    progress.update(bar, advance=1, description=each["base"])
                if time.monotonic() > end:
                    break
    finally:
        pool.close()
    return found


def _replay(words: str) -> int:
    from tests.hunt.worker import judge_job

    base, *numbers = words.split(":")
    seed, model, setting = map(int, numbers)
    for found in judge_job({"base": base, "seed": seed, "models": [model], "settings": [setting]}):
        print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
