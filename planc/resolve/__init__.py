"""Plan x settings -> resolved plan: base plans, mesh sizes, options, lets, conditions."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.resolved import Resolved, Settings
from planc.resolve.declarations import collect_declarations
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain
from planc.resolve.merge_blocks import expand_accepts, merge_blocks
from planc.resolve.mesh_sizes import resolve_mesh
from planc.resolve.requires import check_requires
from planc.resolve.scope import resolve_lets


def resolve(document: Document, settings: Settings, facts: Mapping[str, ExprValue] | None = None) -> Resolved:
    """Resolve a plan: merge its base plans, fix mesh sizes and options, expand lets, decide conditions.

    Args:
        facts: configuration facts of the model, where one is given; axes and options of the
            same name go before them.
    """
    facts = facts or {}
    sink = DiagnosticSink()
    documents = extends_chain(document, sink)
    unparsed_words = frozenset[str]().union(*(d.unparsed_words for d in documents))
    declarations = collect_declarations(documents, sink)
    axes = resolve_mesh(declarations.mesh, document, settings, unparsed_words, sink)
    values = dict(facts) | {a.name: a.size for a in axes if a.size is not None}
    values |= {n: _value(o.value.value, settings.options.get(n)) for n, o in declarations.options.items()}
    types: dict[str, type] = {n: type(v) for n, v in facts.items()}
    types |= {a.name: int for a in axes} | {n: type(o.value.value) for n, o in declarations.options.items()}
    scope = resolve_lets(declarations.lets, values, types, sink)
    blocks = merge_blocks(documents, scope, sink)
    accepts = expand_accepts(declarations.accepts, scope)
    check_requires(declarations.requires, scope, sink)
    return Resolved(
        name=document.plan.name,
        model=declarations.model,
        documents=documents,
        axes=axes,
        options=declarations.options,
        values=values,
        lets=declarations.lets,
        patterns=scope.patterns,
        layouts=scope.layouts,
        requires=declarations.requires,
        accepts=accepts,
        blocks=blocks,
        unparsed_words=unparsed_words,
        diagnostics=tuple(sink.diagnostics),
        skipped=tuple(sink.skipped),
    )


def _value(default: ExprValue, given: ExprValue | None) -> ExprValue:
    """The value of an option. `option_error` reports one of the wrong type, when all plans of the run are known."""
    return given if given is not None and type(given) is type(default) else default
