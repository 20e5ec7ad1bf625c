"""Plan x settings -> settled plan: base plans, mesh sizes, options, lets, conditions."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.document import Document
from planc.ir.expr import Value
from planc.ir.settled import Settings, Settled
from planc.settle.blocks import settle_blocks
from planc.settle.declarations import declare
from planc.settle.extends import chain
from planc.settle.faults import Faults
from planc.settle.lets import settle_lets
from planc.settle.mesh import settle_mesh
from planc.settle.requires import settle_requires


def settle(document: Document, settings: Settings, facts: Mapping[str, Value] | None = None) -> Settled:
    """Work in all that the plan says of itself and the user says beside it.

    Args:
        facts: configuration facts of the model, where one is given; axes and options of the
            same name go before them.
    """
    facts = facts or {}
    faults = Faults()
    documents = chain(document, faults)
    lost = frozenset[str]().union(*(d.lost for d in documents))
    said = declare(documents, faults)
    axes = settle_mesh(said.mesh, document, settings, lost, faults)
    values = dict(facts) | {a.name: a.size for a in axes if a.size is not None}
    values |= {n: _value(o.value.value, settings.options.get(n)) for n, o in said.options.items()}
    types: dict[str, type] = {n: type(v) for n, v in facts.items()}
    types |= {a.name: int for a in axes} | {n: type(o.value.value) for n, o in said.options.items()}
    scope = settle_lets(said.lets, values, types, faults)
    blocks = settle_blocks(documents, scope, faults)
    settle_requires(said.requires, scope, faults)
    return Settled(
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
        lost=lost,
        faults=tuple(faults.found),
        skipped=tuple(faults.skipped),
    )


def _value(default: Value, given: Value | None) -> Value:
    """A value of the wrong type is refused where the plans of the run are known."""
    return given if given is not None and type(given) is type(default) else default
