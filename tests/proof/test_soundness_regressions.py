"""Modules and plans that a careless proof would call right; each was found by the numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from tests.proof.regressions import boundaries, containers, rowwise, tied_head
from tests.proof.regressions.regression import SoundnessCase

CASES = [*rowwise.CASES, *boundaries.CASES, *containers.CASES, *tied_head.CASES]


@pytest.mark.parametrize("trap", CASES, ids=[trap.name for trap in CASES])
def test_a_trap_has_the_verdict_of_its_numbers(trap: SoundnessCase) -> None:
    graph = trace(CaptureTarget("trap", trap.module(), (), trap.inputs(), {}, {"torch": "2"}))
    block = "tensor tp" if trap.plan else "fsdp dp"
    lines = "".join(f"    {line}\n" for line in trap.plan or ["root"])
    text = f"mesh dp, tp\n{block} {{\n{lines}}}\n"
    sizes = {"dp": 1, "tp": 2} if trap.plan else {"dp": 2, "tp": 1}
    result = check_document(read_source(Source("trap.plan", text)), Settings(sizes), graph)
    assert result.verdict == trap.verdict, [fault.message for fault in result.diagnostics]
