"""An operator with operands of the wrong type.

`+ - * // %` and `< <= > >=` take numbers, `and or not` take true and false, `==` and `!=` two
values of one type. A condition is true or false: `when tp > 1`, not `when tp`.

Wrong:

    mesh tp
    option fast = true
    require fast + 1 == 2

Right:

    mesh tp
    option fast = true
    require fast
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.ir.blocks import Attribute, Part
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import EvalError, evaluate
from planc.ir.resolved import Resolved, Settings
from planc.resolve.expr_types import infer_type


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    """Arguments of rules; conditions are checked where they are decided."""
    types = {a.name: int for a in resolved.axes}
    types |= {n: type(o.value.value) for n, o in resolved.options.items()}
    arguments = [(p.size, place.child("size")) for p, place in records_of_type(resolved, Part)]
    arguments += [(a.value, place.child("value")) for a, place in records_of_type(resolved, Attribute)]
    for expr, place in arguments:
        try:
            if infer_type(expr, types) is bool:
                yield diagnostic("X402", place.label("this is true or false"), "an expression of the wrong type",
                             "needed: a number")  # fmt: skip
                continue
            value = evaluate(expr, resolved.values)
        except EvalError as bad:
            if bad.kind == "zero":
                yield diagnostic("X403", place.label(bad.got), "a division by zero", f"in: {bad.expr}")
            else:
                yield diagnostic(
                    "X402", place.label(bad.got), "operands of the wrong type", f"in: {bad.expr}"
                )
            continue
        if value is not None and value < 1 and place.path[-1] == "size":
            yield diagnostic("R304", place.label(f"this is {value}"), "a part of a projection has no such size",
                         "needed: a number from 1 on")  # fmt: skip
