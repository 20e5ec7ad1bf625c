"""An axis that no block uses.

All ranks along it would do the same work.

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

from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Resolved, Settings


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    used = {axis.value for block in resolved.blocks for axis in block.axes}
    if used - {axis.name for axis in resolved.axes}:
        return  # a block names an unknown axis, which may be this one, misspelt
    for axis in resolved.axes:
        if axis.name not in used and axis.name not in resolved.unparsed_words and axis.size != 1:
            yield diagnostic("M201", axis.location.label("", "name"), f"no block uses axis '{axis.name}'",
                         "got: all ranks along it would compute the same")  # fmt: skip
