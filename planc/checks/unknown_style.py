"""A style that planc does not have.

The styles are colwise, rowwise, packed_colwise, sequence and replicate. What a rule
says beside a style is inputs, outputs, params and attributes. A misspelt style
must not be passed over: the module would stay unsplit, or be split wrongly,
without a word.

Wrong:

    mesh tp
    tensor tp {
        lm_head  colwis
    }

Right:

    mesh tp
    tensor tp {
        lm_head  colwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.blocks.tensor import FACETS
from planc.checks.walk import broken, entries
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.settled import Settings, Settled
from planc.near import listed, nearest
from planc.styles import STYLES


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for rule, place in entries(settled, "tensor"):
        if rule.style is None or rule.style in STYLES:
            continue
        label = place.label("no such style", "style")
        meant = nearest(rule.style, [*STYLES, *FACETS])
        yield broken("N101", label, f"there is no style '{rule.style}'",
                     f"needed: {listed(STYLES)}", fix=replace(label, meant))  # fmt: skip
