"""Which uses of a unit's parameters the proof allows, and that those compute what the unsplit model does.

FSDP2 itself raises, or reads freed memory, in the cases that the proof refutes.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.fsdp_units import BATCH, CASES, WIDTH, plan_of


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    factory, units, expected = CASES[name]
    inputs = (torch.zeros(BATCH, 6, WIDTH),)
    graph = trace(CaptureTarget("units", factory(), inputs, {}, {}, {"torch": "2"}))
    result = check_document(read_source(Source("units.plan", plan_of(units))), Settings({"dp": 2}), graph)
    found = {diagnostic.law.code for diagnostic in result.diagnostics if diagnostic.is_error}
    assert (result.verdict, found) == (("proved", set()) if expected == "proved" else ("refuted", {expected}))


def test_numbers() -> None:
    right = [name for name, (_, _, expected) in CASES.items() if expected == "proved"]
    errors = run_on_ranks(2, "torch.apply.fsdp_units:worst_errors", names=right)[0]
    assert errors.keys() == set(right)
    assert {name: error for name, error in errors.items() if error > 1e-5} == {}
