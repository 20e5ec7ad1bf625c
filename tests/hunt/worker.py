"""One process of the hunt: jobs come in as lines of JSON, what both judges say goes out so.

{"base": "llama", "mesh": 0, "split": true, "seed": 6, "start": 0, "count": 20}
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from tests.hunt.bases import MESHES, Base, bases


def said_of(job: dict[str, Any], courts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said of every mutant of a job, and of the plan that they come from as number -1."""
    from planc.mutate import mutants

    from planc.text.write import write

    base = bases()[job["base"]]
    mesh = MESHES[job["mesh"]]
    graph, court_on = courts.get(base.name) or _kept(courts, base)
    court = court_on(mesh)
    plan = base.plan(graph, split=job["split"])
    known = {name: job[name] for name in ("base", "mesh", "split", "seed")}
    if job["start"] == 0:
        yield {**known, "number": -1, "changes": [], **court.hear(write(plan), mesh).data()}
    until = job["start"] + job["count"]
    for number, mutant in enumerate(mutants(plan, graph, job["seed"], count=until)):
        if number < job["start"]:
            continue
        begun = time.monotonic()
        said = court.hear(write(mutant.plan), mesh).data()
        changes = [[change.kind, change.says] for change in mutant.changes]
        seconds = round(time.monotonic() - begun, 2)
        yield {**known, "number": number, "changes": changes, **said, "seconds": seconds}


def _kept(courts: dict[str, Any], base: Base) -> Any:
    for _, court_on in courts.values():
        court_on(MESHES[0]).ranks.close()
    courts.clear()  # a job is of one model
    courts[base.name] = _court(base)
    return courts[base.name]


def _court(base: Base) -> Any:
    from planc.torch.capture import capture
    from planc.torch.verify.subject import build
    from planc.torch.verify.verify import processes
    from tests.hunt.speak import Court, lenient_of

    graph, subject, ranks = capture(base.reference), build(base.reference, 0), processes()

    def on(mesh: Any) -> Court:
        return Court(base.reference, graph, subject, ranks, lenient_of(base.reference, mesh))

    return graph, on


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    courts: dict[str, Any] = {}
    for line in sys.stdin:
        for found in said_of(json.loads(line), courts):
            answers.write(json.dumps(found) + "\n")
            answers.flush()
        answers.write("{}\n")
        answers.flush()


if __name__ == "__main__":
    main()
