"""One process of the hunt: jobs come in as lines of JSON, what both judges say goes out so.

{"base": "llama", "seed": 6, "variant": 0, "numbers": [0, 1, 2]}     mutants of a plan
{"base": "llama", "seed": 6, "models": [0, 1, 2]}                    mutated models; perhaps with `kinds` of mutations

Codes of laws as arguments make the checker blind to them: a hunt that does not notice is no judge.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.hunt.bases import base_plan, capture, cases_of

if TYPE_CHECKING:
    from tests.hunt.models.model_judge import ModelJudges


def judge_cases(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said of the cases with these numbers, all of one model, mesh and options."""
    from tests.hunt.judge import Judges

    wanted = set(job["numbers"])
    court: Judges | None = None
    try:
        cases = cases_of(job["base"], job["seed"], job["variant"], max(wanted) + 1)
        for number, case in enumerate(cases):
            if number not in wanted:
                continue
            reference = case.variant.reference
            court = court or Judges(reference, capture(reference), base_plan(case.family))
            begun = time.monotonic()
            judgement = court.judge(case)
            changes = [[change.kind, change.description] for change in case.changes]
            yield {
                "base": job["base"], "seed": job["seed"], "variant": job["variant"], "number": number,
                "reference": reference, "mesh": dict(case.variant.sizes), "options": dict(case.variant.options),
                "changes": changes, **judgement.to_dict(), "seconds": round(time.monotonic() - begun, 2),
            }  # fmt: skip
    finally:
        if court is not None:
            court.close()


def judge_job(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said of a job of either kind."""
    if "models" not in job:
        yield from judge_cases(job)
        return
    from tests.hunt.models.mutated_model import Key

    court = _model_judges()
    for number in job["models"]:
        key = Key(job["base"], job["seed"], number, tuple(job.get("kinds", ())))
        yield from court.judge(key, job.get("settings"))


@cache
def _model_judges() -> ModelJudges:
    """The judges of all jobs; their ranks end with this process."""
    from tests.hunt.models.model_judge import ModelJudges

    return ModelJudges()


def _ignore_laws(codes: Sequence[str]) -> None:
    from planc.proof import diagnose

    seen = diagnose.proof_diagnostics
    diagnose.proof_diagnostics = lambda *given: [
        fault for fault in seen(*given) if fault.law.code not in codes
    ]


def judge_jobs(jobs: list[dict[str, Any]], ignored_laws: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What both judges say of the cases of some jobs, in a process of their own."""
    _ignore_laws(ignored_laws)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return [found for job in jobs for found in judge_job(job)]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "CUDA_VISIBLE_DEVICES": ""}
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    _ignore_laws(sys.argv[1:])
    for line in sys.stdin:
        try:
            for found in judge_job(json.loads(line)):
                answers.write(json.dumps(found) + "\n")
                answers.flush()
            answers.write("{}\n")
        except Exception:  # noqa: BLE001  # those who asked are told
            answers.write(json.dumps({"raised": traceback.format_exc()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
