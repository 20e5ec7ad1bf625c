"""An axis that no block uses.

The ranks along it would all do the same work.

Wrong:

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }

Right:

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }
    fsdp dp {
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings, Settled


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    used = {axis.value for block in settled.blocks for axis in block.axes}
    if used - {axis.name for axis in settled.axes}:
        return  # a block is on an axis that is not there: misspelt, it may be this one
    for axis in settled.axes:
        if axis.name not in used and axis.name not in settled.lost and axis.size != 1:
            yield broken("M201", axis.place.label("", "name"), f"no block uses axis '{axis.name}'",
                         "got: its ranks would all compute the same")  # fmt: skip
