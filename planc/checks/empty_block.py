"""A block without entries.

It takes an axis and does nothing on it: its rules were forgotten, or commented out.

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

from planc.checks.traversal import declared_blocks, has_unreadable_lines
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Resolved, Settings
from planc.syntax.blocks.block_codec import codec_of


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    if has_unreadable_lines(resolved):
        return
    for block, location in declared_blocks(resolved):
        if not codec_of(block.kind).encode(block)[1]:
            yield diagnostic("R308", location.label(), f"this '{block.kind}' block has no entries")
