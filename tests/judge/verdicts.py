"""Verdicts of the judge: a model that two ranks split by hand, against the model as it is."""

from __future__ import annotations

from typing import Any

from tests.rank_pool import ProcessesEnded, call_in_fork, run_on_ranks

MAX_USES = 300
"""Cases of one group of ranks: the judge makes no process groups of its own."""


def judge(name: str, settings: dict[str, Any], case: dict[str, Any], policy: str) -> str | None:
    """What is wrong with a case; None: nothing."""
    given = {"family": name, "settings": settings, "case": case, "policy": policy}
    try:
        found = run_on_ranks(2, "judge.cases:judge", max_uses=MAX_USES, **given)
    except ProcessesEnded:
        # Torch's collectives do not say that a rank has failed, and torch 2.11 divides by zero in
        # attention without heads. A judge that cannot run at all calls right plans wrong, too.
        return "one of the processes ends"
    wrong: str | None = found[0] or found[1]
    return wrong


def toy_plan(toy: str) -> list[str]:
    """The lines of the plan of a toy."""
    return list(call_in_fork("tests.judge.verdicts:lines_of_toy", toy=toy))


def lines_of_toy(toy: str) -> list[str]:
    """The same, in a process that has loaded torch."""
    from tests.judge.toys import TOYS

    return list(TOYS[toy].LINES)
