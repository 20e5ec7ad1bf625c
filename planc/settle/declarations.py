"""What the plans of a chain declare, base first, each name once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planc.ir.document import Document, Place
from planc.ir.expr import show
from planc.ir.record import Record
from planc.ir.settled import Placed
from planc.settle.faults import Faults


class Said(Record):
    """Declarations of the whole chain."""

    mesh: Placed | None
    model: Placed | None
    options: dict[str, Placed]
    lets: dict[str, Placed]
    requires: tuple[Placed, ...]


def declare(documents: tuple[Document, ...], faults: Faults) -> Said:
    """Gather what is declared; a name declared again needs `override`."""
    options: dict[str, Placed] = {}
    lets: dict[str, Placed] = {}
    requires: list[Placed] = []
    mesh = model = None
    for document in reversed(documents):
        plan = document.plan
        add_named(options, _placed(document, "options", plan.options), "option", faults)
        add_named(lets, _placed(document, "lets", plan.lets), "let", faults)
        requires += _placed(document, "requires", plan.requires)
        if plan.mesh is not None:
            known: dict[str, Placed] = {} if mesh is None else {"mesh": mesh}
            add_named(known, [Placed(plan.mesh, Place(document, ("mesh",)))], "mesh", faults)
            mesh = known.get("mesh", mesh)
        if plan.model is not None:
            model = Placed(plan.model, Place(document, ("model",)))
    return Said(mesh, model, options, lets, tuple(requires))


def _placed(document: Document, field: str, records: Iterable[Any]) -> list[Placed]:
    return [Placed(record, Place(document, (field, i))) for i, record in enumerate(records)]


def add_named(known: dict[str, Placed], more: list[Placed], what: str, faults: Faults) -> None:
    """Add declarations to those of the plans below; `override` replaces, and only replaces."""
    for placed in more:
        name = getattr(placed.value, "name", what)
        earlier = known.get(name)
        shown = what if name == what else f"{what} '{name}'"
        same = earlier is not None and earlier.place.document is placed.place.document
        if placed.value.override and earlier is None:
            faults.add("R307", placed.place.label("no earlier one"), f"this {shown} overrides nothing",
                       "needed: one in a plan that this one extends",
                       "help: leave out 'override'")  # fmt: skip
        elif earlier is not None and (same or not placed.value.override):
            help_ = "help: leave one out" if same else "help: to replace it, write 'override' before it"
            faults.add("N106", placed.place.label("declared again"), f"{shown} is declared twice", help_,
                       others=(earlier.place.label("declared first"),))  # fmt: skip
            continue
        known[name] = placed
        values = [getattr(p.value, "value", None) for p in (earlier, placed) if p is not None]
        if what == "option" and len(values) == 2 and type(values[0]) is not type(values[1]):
            faults.add("X402", placed.place.label("another type", "value"), f"{shown} changes its type",
                       f"needed: a value such as {show(values[0])}")  # fmt: skip
