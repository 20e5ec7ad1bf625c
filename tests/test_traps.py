"""Modules and plans that a careless proof would call right; each was found by the numbers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from planc.compile import check
from planc.ir.settled import Settings
from planc.ir.source import Source
from planc.read import read_source
from planc.torch.run import Subject, run
from tests.traps import boundaries, containers, rowwise
from tests.traps.trap import Trap

TRAPS = [*rowwise.TRAPS, *boundaries.TRAPS, *containers.TRAPS]


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.name for trap in TRAPS])
def test_a_trap_has_the_verdict_of_its_numbers(trap: Trap) -> None:
    graph = run(Subject("trap", trap.module(), (), trap.inputs(), {}, {"torch": "2"}))
    block = "tensor tp" if trap.plan else "fsdp dp"
    lines = "".join(f"    {line}\n" for line in trap.plan or ["root"])
    text = f"mesh dp, tp\n{block} {{\n{lines}}}\n"
    sizes = {"dp": 1, "tp": 2} if trap.plan else {"dp": 2, "tp": 1}
    result = check(read_source(Source("trap.plan", text)), Settings(sizes), graph)
    assert result.verdict == trap.verdict, [fault.message for fault in result.diagnostics]
