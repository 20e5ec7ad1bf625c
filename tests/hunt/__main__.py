"""The hunt for plans that fool the checker: both judges speak of thousands of mutants.

    python -m tests.hunt                      all of it, and docs/soundness.md; `make hunt`
    python -m tests.hunt --only llama --count 5
    python -m tests.hunt --replay llama:0:true:6:13

What is found is kept in build/hunt; a hunt that was broken off goes on from there. Exit status 1: a wrong
plan was called right, or more was missed than is allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from planc.text.write import write
from tests.hunt.bases import MESHES, bases
from tests.hunt.pool import Job, Pool
from tests.hunt.report import faults_of, write_page
from tests.hunt.table import Table
from tests.judge.pair import ROOT

SEED = 6
COUNT = 48
"""Mutants of each plan on each mesh, with a split sequence and without."""
CHUNK = 16
KEPT = ROOT / "build" / "hunt"


def jobs(names: list[str], seed: int, count: int) -> Iterator[Job]:
    """All jobs: for each model those of every mesh, with the sequence split and whole."""
    for name in names:
        for mesh in range(len(MESHES)):
            # The third mesh takes turns: it is the first two together.
            for split in (True, False) if mesh < 2 else (True,):
                for start in range(0, count if mesh < 2 else count // 2, CHUNK):
                    size = min(CHUNK, count - start)
                    yield {
                        "base": name,
                        "mesh": mesh,
                        "split": split,
                        "seed": seed,
                        "start": start,
                        "count": size,
                    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hunt", description="hunt for plans that fool the checker"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each plan, mesh and sequence")
    parser.add_argument("--only", nargs="+", metavar="BASE", help="families or plain modules")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier hunt has found")
    parser.add_argument("--replay", metavar="BASE:MESH:SPLIT:SEED:NUMBER", help="one mutant, with its plan")
    given = parser.parse_args()
    if given.replay:
        return _replay(given.replay)
    names = given.only or list(bases())
    unknown = [name for name in names if name not in bases()]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(bases())}")
    found = _hunt(
        list(jobs(names, given.seed, given.count)), given.workers, KEPT / f"{given.seed}.jsonl", given.fresh
    )
    table = Table(found)
    if given.only is None and given.count == COUNT:
        write_page(table, given.seed)
    for fault in faults_of(table):
        print(fault)
    return 1 if table.unsound() else 0


def _hunt(todo: list[Job], workers: int, path: Path, fresh: bool) -> list[dict[str, Any]]:
    """What was found in all jobs, now or in a hunt before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        path.unlink(missing_ok=True)
    known = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    done = {_key(found) for found in known}
    wanted = {key for job in todo for key in _keys(job)}
    left = [job for job in todo if not _keys(job) <= done]
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = Pool(workers) if left else None
    try:
        with Progress(*columns, console=console) as progress, path.open("a", encoding="utf-8") as file:
            bar = progress.add_task("hunting", total=len(wanted), completed=len(wanted & done))
            for found in pool.run(left) if pool is not None else ():
                if _key(found) not in done:
                    done.add(_key(found))
                    known.append(found)
                    file.write(json.dumps(found) + "\n")
                    file.flush()
                wrong = Table([found]).unsound()
                if wrong:
                    progress.print(f"[red]wrong and called right[/]: {replay_of(found)} {found['why']}")
                progress.update(bar, completed=len(wanted & done), description=found["base"])
    finally:
        if pool is not None:
            pool.close()
    return [found for found in known if _key(found) in wanted]


def _key(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[name] for name in ("base", "mesh", "split", "seed", "number"))


def _keys(job: Job) -> set[tuple[Any, ...]]:
    base = tuple(job[name] for name in ("base", "mesh", "split", "seed"))
    numbers = range(job["start"] - (job["start"] == 0), job["start"] + job["count"])
    return {(*base, number) for number in numbers}


def replay_of(found: dict[str, Any]) -> str:
    """The words that replay a mutant."""
    return ":".join(str(part).lower() for part in _key(found))


def _replay(words: str) -> int:
    from planc.mutate import mutants

    from planc.torch.capture import capture
    from tests.hunt.worker import said_of

    base, mesh, split, seed, number = words.split(":")
    job = {"base": base, "mesh": int(mesh), "split": split == "true", "seed": int(seed)}
    if int(number) >= 0:
        one = bases()[base]
        graph = capture(one.reference)
        plan = one.plan(graph, split=split == "true")
        *_, mutant = mutants(plan, graph, int(seed), count=int(number) + 1)
        print(write(mutant.plan))
    for found in said_of({**job, "start": max(int(number), 0), "count": 1}, {}):
        if found["number"] == int(number):
            print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
