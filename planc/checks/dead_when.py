"""A condition that never holds, or a branch that is never taken.

planc tries every combination of the options that are true or false.

Wrong:

    mesh tp
    option fast = true
    tensor tp {
        model.norm  sequence  when fast and not fast
    }

Right:

    mesh tp
    option fast = true
    tensor tp {
        model.norm  sequence  when not fast
    }
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from planc.checks.traversal import records_of_type
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.expr import EvalError, Expr, ExprValue, evaluate
from planc.ir.resolved import Resolved, Settings

MAX_BOOL_OPTIONS = 6
"""A condition on more options is not decided: it has too many combinations."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    bool_options = {n for n, o in resolved.options.items() if isinstance(o.value.value, bool)}
    values_of: dict[Expr, set[ExprValue | None]] = {}
    for when, location in records_of_type(resolved, Expr):
        if location.path[-1] != "when":
            continue
        if when not in values_of:
            values_of[when] = _possible_values(when, bool_options)
        values = values_of[when]
        if all(value is False for value in values):
            yield diagnostic("R305", location.label(), "this condition never holds",
                         "got: false for every setting of the options")  # fmt: skip
        elif all(value is True for value in values) and location.path[0] == "lets":
            other = PlanPath(location.document, (*location.path[:-1], "otherwise"))
            yield diagnostic("R305", other.label(), "this branch is never taken",
                         "got: the condition is true for every setting of the options")  # fmt: skip


def _possible_values(when: Expr, bool_options: set[str]) -> set[ExprValue | None]:
    """The values of a condition over all settings of its options; None: it depends on more than those."""
    names = sorted({n for n in when.names() if n in bool_options})
    if len(names) > MAX_BOOL_OPTIONS:
        return {None}
    try:
        return {
            evaluate(when, dict(zip(names, values))) for values in product((False, True), repeat=len(names))
        }
    except EvalError:
        return {None}  # reported where conditions are resolved
