"""`require`: conditions on axes, options and the model's facts."""

from __future__ import annotations

from planc.ir.expr import format_value
from planc.ir.resolved import Located
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.scope import Scope


def check_requires(requires: tuple[Located, ...], scope: Scope, sink: DiagnosticSink) -> None:
    """Report the conditions that fail, and those that cannot be decided yet."""
    for located in requires:
        condition, location = located.value.condition, located.location
        before = len(sink.diagnostics)
        value = scope.evaluate_condition(condition, location.child("condition"))
        names = sorted({n for n in condition.names() if n not in scope.values})
        if value is False:
            known = sorted({n for n in condition.names() if n in scope.values})
            got = ", ".join(f"{n} = {format_value(scope.values[n])}" for n in known)
            why = (f"why: {located.value.why}",) if located.value.why else ()
            sink.report("X401", location.label(got, "condition"), f"this plan requires {condition}", *why)
        elif value is None and len(sink.diagnostics) == before:
            open_axes = [n for n in names if n in scope.types]
            facts = [n for n in names if n not in scope.types]
            needs = [f"a model, for {', '.join(facts)}"] * bool(facts)
            needs += [f"a size for {', '.join(open_axes)}"] * bool(open_axes)
            sink.skip(f"require {condition}", f"needs {' and '.join(needs)}")
