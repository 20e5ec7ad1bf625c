"""A let or an option that nothing uses.

Often a rule was forgotten, or a name is spelt in two ways.

Wrong:

    mesh tp
    let block = model.layers.*
    tensor tp {
        lm_head  colwise
    }

Right:

    mesh tp
    let block = model.layers.*
    tensor tp {
        block.mlp.up_proj  colwise
        lm_head            colwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import has_unreadable_lines
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import Expr
from planc.ir.layout import LayoutRef
from planc.ir.pattern import Pattern
from planc.ir.resolved import Resolved, Settings


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    declared = {**resolved.lets, **resolved.options}
    if not declared or has_unreadable_lines(resolved):
        return
    used = _used_names(resolved)
    for name, declaration in declared.items():
        # A base plan may declare names that only other plans use.
        if name not in used and declaration.location.document is resolved.documents[0]:
            noun = "option" if name in resolved.options else "let"
            yield diagnostic("N107", declaration.location.label("", "name"), f"{noun} '{name}' is never used")


def _used_names(resolved: Resolved) -> set[str]:
    """Every word that may refer to a declared name."""
    index = resolved.records_by_type
    used = {name for expr, _, _ in index.get(Expr, ()) for name in expr.names()}
    used |= {layout.name for layout, _, _ in index.get(LayoutRef, ())}
    used |= {str(pattern.segments[0][0]) for pattern, _, _ in index.get(Pattern, ())}
    return used
