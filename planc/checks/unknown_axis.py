"""A block on an axis that the mesh does not have.

`mesh` declares the axes, outermost first. Without the declaration planc does not know which
ranks a block runs on.

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

from planc.checks.traversal import declared_blocks
from planc.closest import closest_match, join_names
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Resolved, Settings
from planc.ir.text_fixes import replacement_fix


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    known = [axis.name for axis in resolved.axes]
    for block, location in declared_blocks(resolved):
        for field in BLOCK_KINDS[block.kind].axis_fields:
            name = getattr(block, field)
            if name is None or name in known or name in resolved.unparsed_words:
                continue
            label = location.label("no such axis", field)
            if known:
                needed = f"needed: an axis of the mesh: {join_names(known)}"
            else:
                needed = f"help: declare it: mesh {name}"
            yield diagnostic("N102", label, f"the mesh has no axis '{name}'", needed,
                         fix=replacement_fix(label, closest_match(name, known)))  # fmt: skip
