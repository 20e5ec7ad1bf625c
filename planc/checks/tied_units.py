"""Tied parameters in different units.

`fully_shard` puts a sharded parameter in the place of each that its unit takes in. It
does not see the other names of a tied parameter in another unit: the tie is broken
without a word, and each place trains a weight of its own. Tied parameters belong to
one unit, mostly `root`.

Wrong (planc check --model tiny-tied.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        model.norm + lm_head
        root
    }

Right (planc check --model tiny-tied.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.no_match import unmatched
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.record import Record
from planc.ir.settled import Placed, Settings
from planc.resolve.bind import Binding, Bound
from planc.resolve.follow import follow
from planc.resolve.sites import shown
from planc.resolve.written import without


class Home(Record):
    """The unit that takes in a parameter."""

    entry: int | None
    """None: no unit does."""
    module: str
    """The module that is the unit; '' for a unit of several modules."""
    pattern: int = 0
    """The pattern of the unit that matches the module."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    faulty: set[int] | None = None
    for number, block in binding.settled.shards():
        for tie in binding.graph.ties if block.entries else ():
            homes = {name: home(binding, number, name) for name in tie}
            known = {(h.entry, h.module) for h in homes.values() if h is not None}
            if len(known) < 2:
                continue
            if faulty is None:  # a pattern that matches nothing may be what is missing in the unit
                faulty = {miss.block for miss in unmatched(binding)}
            if number not in faulty:
                yield _apart(block.entries, {n: h for n, h in homes.items() if h is not None})


def home(binding: Binding, block: int, name: str) -> Home | None:
    """The innermost unit around a parameter; None where the model has no such module."""
    here: Bound | None = binding.root
    found, path = Home(None, ""), ""
    for part in ["", *name.split(".")[:-1]]:
        here = here.children.get(part) if part and here else here
        if here is None:
            return None
        path = f"{path}.{part}" if path and part else path or part
        entry = here.entries.get(block)
        if entry is not None:
            patterns = binding.settled.blocks[block].entries[entry].value.patterns
            if len(patterns) == 1:
                found = Home(entry, path)
            else:
                reached = (follow(p.segments, {binding.root: ""}) for p in patterns)
                found = Home(entry, "", next((i for i, met in enumerate(reached) if here in met), 0))
    return found


def _apart(entries: tuple[Placed, ...], homes: dict[str, Home]) -> Diagnostic:
    def text(name: str) -> str:
        entry = homes[name].entry
        if entry is None:
            return "no unit"
        value = entries[entry].value
        return " + ".join(map(str, value.patterns)) if len(value.patterns) > 1 else shown(homes[name].module)

    taken = sorted({h.entry for h in homes.values() if h.entry is not None})
    # The unit that can give its share up is the smaller one: not the model itself.
    told = [e for e in taken if not entries[e].value.patterns[0].is_root] or taken
    places = {e: next(name for name, h in homes.items() if h.entry == e) for e in taken}
    last = told[-1]
    others = tuple(entries[e].place.label(f"takes {places[e]}", "patterns") for e in taken if e != last)
    return broken("F612", entries[last].place.label(f"takes {places[last]}", "patterns"),
                  "tied parameters are in different units, which breaks the tie",
                  *[f"unit: {name} is in {text(name)}" for name in homes],
                  "help: leave their modules to one unit, as root",
                  others=others, fix=without(entries[last], homes[places[last]].pattern),
                  module=places[last].rpartition(".")[0])  # fmt: skip
