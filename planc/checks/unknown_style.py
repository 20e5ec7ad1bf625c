"""A style that planc does not have.

The styles are colwise, rowwise, packed_colwise, sequence and replicate. Besides a style a rule
has inputs, outputs, params and attributes. If planc ignored a misspelt style, the module would
stay unsharded, or be sharded in a wrong way, without notice.

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

from planc.checks.traversal import records_of_type
from planc.closest import closest_match, join_names
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Resolved, Settings
from planc.ir.styles import STYLES
from planc.ir.text_fixes import replacement_fix
from planc.syntax.blocks.tensor_block import RULE_CLAUSES


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for rule, location in records_of_type(resolved, Rule):
        if rule.style is None or rule.style in STYLES:
            continue
        label = location.label("no such style", "style")
        closest = closest_match(rule.style, [*STYLES, *RULE_CLAUSES])
        yield diagnostic("N101", label, f"there is no style '{rule.style}'",
                     f"needed: {join_names(STYLES)}", fix=replacement_fix(label, closest))  # fmt: skip
