"""A let or an option that nothing uses.

Often the sign of a rule that was forgotten, or of a name spelt in two ways.

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

from planc.checks.walk import broken, has_broken_lines
from planc.ir.diagnostic import Diagnostic
from planc.ir.expr import Expr
from planc.ir.layout import Named
from planc.ir.pattern import Pattern
from planc.ir.settled import Settings, Settled


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    declared = {**settled.lets, **settled.options}
    if not declared or has_broken_lines(settled):
        return
    used = _used(settled)
    for name, placed in declared.items():
        # A base plan may declare what only its other users need.
        if name not in used and placed.place.document is settled.documents[0]:
            what = "option" if name in settled.options else "let"
            yield broken("N107", placed.place.label("", "name"), f"{what} '{name}' is never used")


def _used(settled: Settled) -> set[str]:
    """Every word that may be a use of a name."""
    index = settled.index
    used = {name for expr, _, _ in index.get(Expr, ()) for name in expr.names()}
    used |= {layout.name for layout, _, _ in index.get(Named, ())}
    used |= {str(pattern.segments[0][0]) for pattern, _, _ in index.get(Pattern, ())}
    return used
