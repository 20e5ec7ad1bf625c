"""A layout that is neither a word of the language nor a `let`.

Layouts are replicate, shard(DIM), partial, and the names of layout lets.

Wrong:

    mesh tp
    let stream = shard(1)
    tensor tp {
        model.down_proj  rowwise -> strem
    }

Right:

    mesh tp
    let stream = shard(1)
    tensor tp {
        model.down_proj  rowwise -> stream
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.walk import broken, of_type
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.layout import WORDS, Named
from planc.ir.settled import Settings, Settled
from planc.near import listed, nearest


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for layout, place in of_type(settled, Named):
        name = layout.name
        if name in settled.layouts or name in settled.lost:
            continue
        if name in settled.patterns:
            yield broken("N108", place.label("a pattern"), f"'{name}' names a pattern, not a layout",
                         others=(settled.lets[name].place.label("declared here"),))  # fmt: skip
            continue
        label = place.label("no such layout")
        known = [*settled.layouts, *WORDS, "shard(DIM)"]
        meant = nearest(name, [*settled.layouts, *WORDS])
        yield broken("N104", label, f"there is no layout '{name}'", f"needed: {listed(known)}",
                     fix=replace(label, meant))  # fmt: skip
