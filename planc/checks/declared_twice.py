"""A name that is declared twice.

No declaration wins silently: a plan that extends another one replaces a declaration by writing
`override` before its own. Within one plan a name is declared once, as an axis, an option or a
let, and no keyword of the language is a name.

Wrong:

    option sequence_parallel = true
    option sequence_parallel = false
    require sequence_parallel

Right:

    option sequence_parallel = true
    require sequence_parallel
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.resolved import Resolved, Settings

RESERVED_WORDS = frozenset(
    ("root", "replicate", "partial", "shard", "when", "else", "and", "or", "not", "true", "false",
     "override", "remove", "loss")
)  # fmt: skip
"""Keywords that may stand where a name may stand."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    locations: dict[str, PlanPath] = {}
    kinds: dict[str, str] = {}
    for kind, name, location in _declared(resolved):
        if name in locations:
            yield diagnostic("N106", location.label(f"{kind} here"), f"'{name}' is {kinds[name]} and {kind}",
                         "help: give one of them another name",
                         secondary=(locations[name].label(f"{kinds[name]} here"),))  # fmt: skip
        locations.setdefault(name, location)
        kinds.setdefault(name, kind)
    for name, location in locations.items():
        if name in RESERVED_WORDS:
            yield diagnostic("N106", location.label("", "name"), f"'{name}' is a keyword of the language",
                         "help: choose another name")  # fmt: skip


def _declared(resolved: Resolved) -> Iterator[tuple[str, str, PlanPath]]:
    """Every declared name: the kind of declaration, the name, its place."""
    for axis in resolved.axes:
        yield "an axis", axis.name, axis.location
    for name, option in resolved.options.items():
        yield "an option", name, option.location
    for name, let in resolved.lets.items():
        yield "a let", name, let.location
