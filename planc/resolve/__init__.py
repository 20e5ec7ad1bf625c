"""Plan x settings -> settled plan: base plans, mesh sizes, options, lets, conditions."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.resolved import Resolved, Settings
from planc.resolve.declarations import collect_declarations
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain
from planc.resolve.merge_blocks import merge_blocks
from planc.resolve.mesh_sizes import resolve_mesh
from planc.resolve.requires import check_requires
from planc.resolve.scope import resolve_lets


def resolve(document: Document, settings: Settings, facts: Mapping[str, ExprValue] | None = None) -> Resolved:
    """Work in all that the plan says of itself and the user says beside it.

    Args:
        facts: configuration facts of the model, where one is given; axes and options of the
            same name go before them.
    """
    facts = facts or {}
    faults = DiagnosticSink()
    documents = extends_chain(document, faults)
    lost = frozenset[str]().union(*(d.unparsed_words for d in documents))
    said = collect_declarations(documents, faults)
    axes = resolve_mesh(said.mesh, document, settings, lost, faults)
    values = dict(facts) | {a.name: a.size for a in axes if a.size is not None}
    values |= {n: _value(o.value.value, settings.options.get(n)) for n, o in said.options.items()}
    types: dict[str, type] = {n: type(v) for n, v in facts.items()}
    types |= {a.name: int for a in axes} | {n: type(o.value.value) for n, o in said.options.items()}
    scope = resolve_lets(said.lets, values, types, faults)
    blocks = merge_blocks(documents, scope, faults)
    check_requires(said.requires, scope, faults)
    return Resolved(
        name=document.plan.name,
        model=said.model,
        documents=documents,
        axes=axes,
        options=said.options,
        values=values,
        lets=said.lets,
        patterns=scope.patterns,
        layouts=scope.layouts,
        requires=said.requires,
        blocks=blocks,
        unparsed_words=lost,
        diagnostics=tuple(faults.diagnostics),
        skipped=tuple(faults.skipped),
    )


def _value(default: ExprValue, given: ExprValue | None) -> ExprValue:
    """A value of the wrong type is refused where the plans of the run are known."""
    return given if given is not None and type(given) is type(default) else default
