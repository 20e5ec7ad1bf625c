"""A block that says nothing.

It takes up an axis and does nothing on it: its rules were forgotten, or commented out.

Wrong:

    mesh tp
    tensor tp {
        # lm_head  colwise
    }

Right:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.blocks import KINDS
from planc.checks.walk import blocks, broken, has_broken_lines
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings, Settled


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    if has_broken_lines(settled):
        return
    for block, place in blocks(settled):
        if not KINDS[block.kind].write(block)[1]:
            yield broken("R308", place.label(), f"this '{block.kind}' block says nothing")
