"""Which regions the proof lets run twice, against what the same models compute without recomputation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import planc  # noqa: E402
from planc.compile import lower  # noqa: E402
from planc.torch.apply.checkpointing import apply_recompute  # noqa: E402
from planc.torch.capture.trace import CaptureTarget, trace  # noqa: E402
from tests.proof.recomputed_modules import (  # noqa: E402
    BATCH,
    CASES,
    KEPT_CASES,
    LENGTH,
    WIDTH,
    Case,
    recompute_blocks,
    step_error,
)

PLAN = "recompute { blocks.* }"


def check(case: Case, plan: str = PLAN) -> Any:
    inputs = (torch.zeros(BATCH, LENGTH, WIDTH),)
    graph = trace(CaptureTarget("regions", case.model(), inputs, {}, {}, {"torch": "2"}))
    return planc.check(planc.parse(plan), model=graph)


@pytest.mark.parametrize("name", CASES)
def test_verdict_and_numbers(name: str) -> None:
    """A region that is proved is right as planc applies it; one that is refuted is wrong under torch's checkpoint."""
    case = CASES[name]
    result = check(case)
    assert (result.verdict, {diagnostic.law.code for diagnostic in result.diagnostics}) == {
        "proved": ("proved", set()),
        "refuted": ("refuted", {"L714"}),
        "unproved": ("unproved", {"L713"}),
    }[case.verdict]
    model = case.model()
    if case.verdict == "proved":
        split: Any = copy.deepcopy(model)
        mesh: Any = None  # it needs none
        apply_recompute(split, lower(result), mesh)
        assert step_error(model, split) == 0
    elif case.verdict == "refuted":
        assert step_error(model, recompute_blocks(model)) > 1e-3


@pytest.mark.parametrize("name", ["running mean", "batch norm", "router's bias", "assigned running mean"])
def test_buffers_that_torch_alone_does_not_put_back(name: str) -> None:
    model = CASES[name].model()
    assert step_error(model, recompute_blocks(model)) > 1e-3


@pytest.mark.parametrize("more", ["compile { blocks.* }", "compile { blocks.*.up }", "compile { root }"])
def test_a_compiler_puts_no_buffers_back(more: str) -> None:
    assert check(CASES["plain"], f"{PLAN}\n{more}").verdict == "proved"
    result = check(CASES["running mean"], f"{PLAN}\n{more}")
    assert {diagnostic.law.code for diagnostic in result.diagnostics} == {"L714"}


@pytest.mark.parametrize("name", KEPT_CASES)
def test_what_a_region_keeps(name: str) -> None:
    """A result that `save(...)` keeps is not computed again: code that has changed it lets the second run find that."""
    case = KEPT_CASES[name]
    result = check(case, "recompute { blocks.*  save(matmul) }")
    assert (result.verdict, [diagnostic.law.code for diagnostic in result.diagnostics][:1]) == (
        ("proved", []) if case.verdict == "proved" else ("refuted", ["L714"])
    )
    assert check(case).verdict == "proved"
    split = recompute_blocks(case.model(), keep_matmuls=True)
    assert (step_error(case.model(), split) == 0) == (case.verdict == "proved")
