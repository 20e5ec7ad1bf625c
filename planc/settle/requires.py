"""`require`: conditions on axes, options and the model's facts."""

from __future__ import annotations

from planc.ir.expr import show
from planc.ir.settled import Placed
from planc.settle.faults import Faults
from planc.settle.lets import Scope


def settle_requires(requires: tuple[Placed, ...], scope: Scope, faults: Faults) -> None:
    """Say which conditions fail, and which cannot be decided yet."""
    for placed in requires:
        condition, place = placed.value.condition, placed.place
        before = len(faults.found)
        value = scope.decide(condition, place.at("condition"))
        names = sorted({n for n in condition.names() if n not in scope.values})
        if value is False:
            known = sorted({n for n in condition.names() if n in scope.values})
            got = ", ".join(f"{n} = {show(scope.values[n])}" for n in known)
            why = (f"why: {placed.value.why}",) if placed.value.why else ()
            faults.add("X401", place.label(got, "condition"), f"this plan requires {condition}", *why)
        elif value is None and len(faults.found) == before:
            open_axes = [n for n in names if n in scope.types]
            facts = [n for n in names if n not in scope.types]
            needs = [f"a model, for {', '.join(facts)}"] * bool(facts)
            needs += [f"a size for {', '.join(open_axes)}"] * bool(open_axes)
            faults.skip(f"require {condition}", f"needs {' and '.join(needs)}")
