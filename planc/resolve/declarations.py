"""The declarations of a plan and its base plans, base first, each name once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planc.ir.document import Document, PlanPath
from planc.ir.expr import format_value
from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.resolve.diagnostic_sink import DiagnosticSink


class Declarations(Record):
    """The declarations of a chain of plans."""

    mesh: Located | None
    model: Located | None
    options: dict[str, Located]
    lets: dict[str, Located]
    requires: tuple[Located, ...]
    accepts: tuple[Located, ...]


def collect_declarations(documents: tuple[Document, ...], sink: DiagnosticSink) -> Declarations:
    """Collect the declarations; a second declaration of a name needs `override`."""
    options: dict[str, Located] = {}
    lets: dict[str, Located] = {}
    requires: list[Located] = []
    accepts: list[Located] = []
    mesh = model = None
    for document in reversed(documents):
        plan = document.plan
        add_declarations(options, _located(document, "options", plan.options), "option", sink)
        add_declarations(lets, _located(document, "lets", plan.lets), "let", sink)
        requires += _located(document, "requires", plan.requires)
        accepts += _located(document, "accepts", plan.accepts)
        if plan.mesh is not None:
            known: dict[str, Located] = {} if mesh is None else {"mesh": mesh}
            add_declarations(known, [Located(plan.mesh, PlanPath(document, ("mesh",)))], "mesh", sink)
            mesh = known.get("mesh", mesh)
        if plan.model is not None:
            model = Located(plan.model, PlanPath(document, ("model",)))
    return Declarations(mesh, model, options, lets, tuple(requires), tuple(accepts))


def _located(document: Document, field: str, records: Iterable[Any]) -> list[Located]:
    return [Located(record, PlanPath(document, (field, i))) for i, record in enumerate(records)]


def add_declarations(known: dict[str, Located], more: list[Located], what: str, sink: DiagnosticSink) -> None:
    """Add declarations to those of the base plans. `override` replaces a declaration, and needs one to replace."""
    for located in more:
        name = getattr(located.value, "name", what)
        earlier = known.get(name)
        shown = what if name == what else f"{what} '{name}'"
        same = earlier is not None and earlier.location.document is located.location.document
        if located.value.override and earlier is None:
            sink.report("R307", located.location.label("no earlier one"), f"this {shown} overrides nothing",
                       "needed: one in a plan that this one extends",
                       "help: leave out 'override'")  # fmt: skip
        elif earlier is not None and (same or not located.value.override):
            help_ = "help: leave one out" if same else "help: to replace it, write 'override' before it"
            sink.report("N106", located.location.label("declared again"), f"{shown} is declared twice", help_,
                       secondary=(earlier.location.label("declared first"),))  # fmt: skip
            continue
        known[name] = located
        values = [getattr(p.value, "value", None) for p in (earlier, located) if p is not None]
        if what == "option" and len(values) == 2 and type(values[0]) is not type(values[1]):
            sink.report("X402", located.location.label("another type", "value"), f"{shown} changes its type",
                       f"needed: a value such as {format_value(values[0])}")  # fmt: skip
