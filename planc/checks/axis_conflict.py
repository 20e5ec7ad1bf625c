"""Two blocks that use one axis in ways that exclude each other.

`tensor` gives all ranks of an axis the same batch and different weights, `fsdp` different
batches, so one axis cannot do both. HSDP needs two axes.

Wrong:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
    fsdp tp {
        root
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
from planc.ir.document import PlanPath
from planc.ir.resolved import Resolved, Settings


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    first: dict[str, tuple[str, PlanPath]] = {}
    for block in resolved.blocks:
        for axis in block.axes:
            name = axis.value
            if name in first:
                kind, location = first[name]
                yield diagnostic("M202", axis.location.label(f"used by '{block.kind}'"),
                             f"two blocks that exclude each other use axis '{name}'",
                             "needed: one axis for each block",
                             secondary=(location.label(f"used by '{kind}'"),))  # fmt: skip
            first.setdefault(name, (block.kind, axis.location))
