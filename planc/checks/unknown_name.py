"""A name in an expression that is almost that of an option or an axis.

Names in `require`, `when` and arguments stand for axes (their sizes), options, and facts of
the model's configuration. Without a model planc takes any other name for such a fact, and
lists what depends on it as skipped. But it refuses a name that differs from a declared one by
a typing error.

Wrong:

    mesh tp
    option sequence_parallel = true
    tensor tp {
        model.norm  sequence  when sequence_paralel
    }

Right:

    mesh tp
    option sequence_parallel = true
    tensor tp {
        model.norm  sequence  when sequence_parallel
    }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.ir.diagnostic import Diagnostic, Edit, Fix, Label, diagnostic
from planc.ir.document import PlanPath
from planc.ir.expr import Expr
from planc.ir.resolved import Resolved, Settings
from planc.ir.source import Span


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    known = {*resolved.options, *(axis.name for axis in resolved.axes)}
    facts = resolved.values.keys() - known
    for expr, location in records_of_type(resolved, Expr):
        for name in dict.fromkeys(expr.names()):
            if name in known or name in facts or name in resolved.unparsed_words:
                continue
            label = name_label(location, name)
            if name in resolved.lets:
                yield diagnostic("N108", label, f"'{name}' names a {resolved.lets[name].value.kind}, not a value",
                             "needed: an axis, an option, or a fact of the model")  # fmt: skip
            elif intended := typo_of(name, known):
                fix = Fix(f"did you mean '{intended}'?", (Edit(label.span, intended),))
                yield diagnostic("N103", label, f"there is no option or axis '{name}'", fix=fix)


def typo_of(name: str, known: set[str]) -> str | None:
    """The constant or the declared name that differs from a name by a typing error."""
    return _constant(name) or _typo_of_declared(name, known)


def name_label(location: PlanPath, name: str, text: str = "not declared") -> Label:
    """A label at one name of an expression, or at the whole expression where its text is not the plan's."""
    expression = location.label(text)
    words = re.compile(rf"\b{re.escape(name)}\b")
    found = words.search(expression.source.text, expression.span.start, expression.span.end)
    if found is None:
        return expression
    return Label(expression.source, Span(*found.span()), expression.text, expression.path)


def _constant(name: str) -> str | None:
    """`true` and `false` are written in lower case."""
    return name.lower() if name.lower() in ("true", "false") else None


def _typo_of_declared(name: str, known: set[str]) -> str | None:
    """The declared name that differs from this one by one letter: missing, added, changed, or swapped with
    the next. Short names resemble each other too much for this."""
    return next((k for k in sorted(known) if len(k) > 3 and _is_one_edit_apart(name, k)), None)


def _is_one_edit_apart(a: str, b: str) -> bool:
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[:2][::-1] and a[2:] == b[2:])
