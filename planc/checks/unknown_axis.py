"""A block on an axis that the mesh does not have.

`mesh` declares the axes, outermost first. Without the declaration nobody knows
which ranks a block runs over.

Wrong:

    mesh dp, tp
    tensor tpp {
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

from planc.blocks import KINDS
from planc.checks.walk import blocks, broken
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.settled import Settings, Settled
from planc.near import listed, nearest


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    known = [axis.name for axis in settled.axes]
    for block, place in blocks(settled):
        for field in KINDS[block.kind].axes:
            name = getattr(block, field)
            if name is None or name in known or name in settled.lost:
                continue
            label = place.label("no such axis", field)
            if known:
                needed = f"needed: an axis of the mesh: {listed(known)}"
            else:
                needed = f"help: declare it: mesh {name}"
            yield broken("N102", label, f"the mesh has no axis '{name}'", needed,
                         fix=replace(label, nearest(name, known)))  # fmt: skip
