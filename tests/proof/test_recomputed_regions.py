"""Which regions the proof lets run twice, against what torch's checkpoint computes without planc."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import planc  # noqa: E402
from planc.torch.capture.trace import CaptureTarget, trace  # noqa: E402
from tests.proof.recomputed_modules import BATCH, CASES, LENGTH, WIDTH, recomputation_error  # noqa: E402

PLAN = "recompute { blocks.* }"


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    inputs = (torch.zeros(BATCH, LENGTH, WIDTH),)
    graph = trace(CaptureTarget("regions", CASES[name].model(), inputs, {}, {}, {"torch": "2"}))
    result = planc.check(planc.parse(PLAN), model=graph)
    found = {diagnostic.law.code for diagnostic in result.diagnostics}
    assert (result.verdict, found) == {
        "proved": ("proved", set()),
        "refuted": ("refuted", {"L714"}),
        "unproved": ("unproved", {"L713"}),
    }[CASES[name].verdict]


@pytest.mark.parametrize("name", CASES)
def test_numbers(name: str) -> None:
    error = recomputation_error(CASES[name].model())
    assert error > 1e-3 if CASES[name].verdict == "refuted" else error == 0
