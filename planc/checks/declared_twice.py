"""A name that is declared twice.

Nothing wins silently: where a plan extends another, it replaces a declaration by
writing `override` before it. In one plan a name is declared once; axes and options
share their names, since both stand in expressions, and no name may be a word of
the language.

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
from planc.ir.settled import Settings, Settled

RESERVED = frozenset(
    ("root", "replicate", "partial", "shard", "when", "else", "and", "or", "not", "true", "false",
     "override", "remove", "loss")
)  # fmt: skip
"""Words that mean something where a name could stand."""


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    axes = {axis.name: axis.place for axis in settled.axes}
    for name, option in settled.options.items():
        if name in axes:
            yield broken("N106", option.place.label("an option"), f"'{name}' is an axis and an option",
                         others=(axes[name].label("an axis"),))  # fmt: skip
    places = {n: p.place for n, p in (*settled.options.items(), *settled.lets.items())} | axes
    for name, place in places.items():
        if name in RESERVED:
            yield broken("N106", place.label("", "name"), f"'{name}' is a word of the language",
                         "help: choose another name")  # fmt: skip
