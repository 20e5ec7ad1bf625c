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
    """Checks the arguments of rules; conditions are checked where they are resolved."""
    types = {a.name: int for a in resolved.axes}
    types |= {n: type(o.value.value) for n, o in resolved.options.items()}
    arguments = [(p.size, location.child("size")) for p, location in records_of_type(resolved, Part)]
    arguments += [(a.value, location.child("value")) for a, location in records_of_type(resolved, Attribute)]
    for expr, location in arguments:
        try:
            if infer_type(expr, types) is bool:
                yield diagnostic("X402", location.label("this is true or false"), "an expression of the wrong type",
                             "needed: a number")  # fmt: skip
                continue
            value = evaluate(expr, resolved.values)
        except EvalError as error:
            if error.kind == "zero":
                yield diagnostic("X403", location.label(error.got), "a division by zero", f"in: {error.expr}")
            else:
                yield diagnostic(
                    "X402", location.label(error.got), "operands of the wrong type", f"in: {error.expr}"
                )
            continue
        if value is not None and value < 1 and location.path[-1] == "size":
            yield diagnostic("R304", location.label(f"this is {value}"), "this is not the size of a part of a projection",
                         "needed: a number of at least 1")  # fmt: skip
