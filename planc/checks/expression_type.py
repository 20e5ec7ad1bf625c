"""An operator on operands of the wrong type.

`+ - * // %` and the order of `< <= > >=` take numbers, `and or not` take true and
false, `==` and `!=` two of the same. A condition is true or false: `when tp > 1`,
not `when tp`.

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

from planc.blocks.tensor import Attribute, Part
from planc.checks.walk import broken, of_type
from planc.ir.diagnostic import Diagnostic
from planc.ir.expr import EvalFault, evaluate
from planc.ir.settled import Settings, Settled
from planc.settle.types import type_of


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    """Arguments of rules; conditions are checked where they are decided."""
    types = {a.name: int for a in settled.axes}
    types |= {n: type(o.value.value) for n, o in settled.options.items()}
    arguments = [(p.size, place.at("size")) for p, place in of_type(settled, Part)]
    arguments += [(a.value, place.at("value")) for a, place in of_type(settled, Attribute)]
    for expr, place in arguments:
        try:
            if type_of(expr, types) is bool:
                yield broken("X402", place.label("this is true or false"), "an expression of the wrong type",
                             "needed: a number")  # fmt: skip
                continue
            value = evaluate(expr, settled.values)
        except EvalFault as bad:
            if bad.kind == "zero":
                yield broken("X403", place.label(bad.got), "a division by zero", f"in: {bad.expr}")
            else:
                yield broken("X402", place.label(bad.got), "operands of the wrong type", f"in: {bad.expr}")
            continue
        if value is not None and value < 1 and place.path[-1] == "size":
            yield broken("R304", place.label(f"this is {value}"), "a part of a projection has no such size",
                         "needed: a number from 1 on")  # fmt: skip
