"""`require`: conditions on axes, options and the model's facts."""

from __future__ import annotations

from planc.ir.expr import format_value
from planc.ir.resolved import Located
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.scope import Scope


def check_requires(requires: tuple[Located, ...], scope: Scope, faults: DiagnosticSink) -> None:
    """Say which conditions fail, and which cannot be decided yet."""
    for placed in requires:
        condition, place = placed.value.condition, placed.location
        before = len(faults.diagnostics)
        value = scope.evaluate_condition(condition, place.child("condition"))
        names = sorted({n for n in condition.names() if n not in scope.values})
        if value is False:
            known = sorted({n for n in condition.names() if n in scope.values})
            got = ", ".join(f"{n} = {format_value(scope.values[n])}" for n in known)
            why = (f"why: {placed.value.why}",) if placed.value.why else ()
            faults.report("X401", place.label(got, "condition"), f"this plan requires {condition}", *why)
        elif value is None and len(faults.diagnostics) == before:
            open_axes = [n for n in names if n in scope.types]
            facts = [n for n in names if n not in scope.types]
            needs = [f"a model, for {', '.join(facts)}"] * bool(facts)
            needs += [f"a size for {', '.join(open_axes)}"] * bool(open_axes)
            faults.skip(f"require {condition}", f"needs {' and '.join(needs)}")
