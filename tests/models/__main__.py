"""The table of models: which of those that people train planc captures and proves.

    python -m tests.models                          all of it, and docs/models.md; `make models`
    python -m tests.models --only 'Llama*' 'resnet*'
    python -m tests.models --sources torch timm --minutes 10
    python -m tests.models --page                   the page from what is known

What is found is kept in build/models; a run that was broken off goes on from there.
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

from tests.hunt.worker_pool import WorkerPool
from tests.models.cases import SOURCES, Case, all_cases, chosen_cases
from tests.models.models_page import write_page
from tests.rank_pool import ROOT

RESULTS = ROOT / "build" / "models" / "rows.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description="the table of models")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names, with the wildcards of the shell")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, help="ask for no more after so many")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has found")
    parser.add_argument(
        "--page", action="store_true", help="write the page from what is known, and run nothing"
    )
    given = parser.parse_args()
    cases, skipped = all_cases(tuple(given.sources))
    if given.only:
        cases = chosen_cases(cases, given.only)
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    known = _known_rows(fresh=given.fresh, asked=cases)
    if not given.page:
        _run(cases, known, given.workers, given.minutes)
    if not given.only and len(given.sources) == len(SOURCES):
        write_page(cases, known, skipped)
    return 0


def _known_rows(*, fresh: bool, asked: list[Case]) -> dict[Case, dict[str, Any]]:
    """What is known of cases, the latest of each; what is to be asked again is forgotten."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    rows = {Case(row["source"], row["name"]): row for row in map(json.loads, lines)}
    if fresh:
        rows = {case: row for case, row in rows.items() if case not in asked}
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), "utf-8")
    return rows


def _run(cases: list[Case], known: dict[Case, dict[str, Any]], workers: int, minutes: float | None) -> None:
    """Ask for what is not known."""
    left = [case for case in cases if case not in known]
    if not left:
        return
    ends = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    jobs = ({"source": case.source, "name": case.name} for case in left if time.monotonic() < ends)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = WorkerPool(workers, module="tests.models.worker")
    try:
        with (
            Progress(*columns, console=Console(stderr=True)) as progress,
            RESULTS.open("a", encoding="utf-8") as file,
        ):
            bar = progress.add_task("models", total=len(cases), completed=len(cases) - len(left))
            for row in pool.run(jobs):
                known[Case(row["source"], row["name"])] = row
                file.write(json.dumps(row) + "\n")
                file.flush()
                progress.update(bar, advance=1, description=row["name"])
    finally:
        pool.close()


if __name__ == "__main__":
    sys.exit(main())
