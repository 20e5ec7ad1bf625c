"""A name that is declared twice.

Nothing wins silently: where a plan extends another, it replaces a declaration by
writing `override` before it. In one plan a name is declared once, whether it is an
axis, an option or a let, and no name may be a word of the language.

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

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Place
from planc.ir.settled import Settings, Settled

NOT_NAMES = frozenset(
    ("root", "replicate", "partial", "shard", "when", "else", "and", "or", "not", "true", "false",
     "override", "remove", "loss")
)  # fmt: skip
"""Words that mean something where a name could stand."""


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    places: dict[str, Place] = {}
    kinds: dict[str, str] = {}
    for kind, name, place in _declared(settled):
        if name in places:
            yield broken("N106", place.label(f"{kind} here"), f"'{name}' is {kinds[name]} and {kind}",
                         "help: give one of them another name",
                         others=(places[name].label(f"{kinds[name]} here"),))  # fmt: skip
        places.setdefault(name, place)
        kinds.setdefault(name, kind)
    for name, place in places.items():
        if name in NOT_NAMES:
            yield broken("N106", place.label("", "name"), f"'{name}' is a word of the language",
                         "help: choose another name")  # fmt: skip


def _declared(settled: Settled) -> Iterator[tuple[str, str, Place]]:
    """Every name with what it is."""
    for axis in settled.axes:
        yield "an axis", axis.name, axis.place
    for name, option in settled.options.items():
        yield "an option", name, option.place
    for name, let in settled.lets.items():
        yield "a let", name, let.place
