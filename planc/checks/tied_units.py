"""Tied parameters in different FSDP units.

`fully_shard` replaces each parameter of its unit by a sharded one. It does not see the other
names of a tied parameter in another unit, so the tie breaks without notice, and each module
trains a weight of its own. Put tied parameters into one unit, usually `root`.

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

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import display_name
from planc.bind.partial_match import match_segments
from planc.bind.pattern_source import remove_pattern_fix
from planc.checks.no_match import unmatched_patterns
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.record import Record
from planc.ir.resolved import Located, Settings


class ContainingUnit(Record):
    """The unit that takes in a parameter."""

    entry: int | None
    """None: no unit does."""
    module: str
    """The module that is the unit; '' for a unit of several modules."""
    pattern: int = 0
    """The pattern of the unit that matches the module."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    faulty: set[int] | None = None
    for number, block in binding.resolved.active_blocks_of(Unit):
        for tie in binding.graph.ties if block.entries else ():
            homes = {name: containing_unit(binding, number, name) for name in tie}
            known = {(h.entry, h.module) for h in homes.values() if h is not None}
            if len(known) < 2:
                continue
            if faulty is None:  # a pattern that matches nothing may be what is missing in the unit
                faulty = {miss.block for miss in unmatched_patterns(binding)}
            if number not in faulty:
                yield _diagnose(block.entries, {n: h for n, h in homes.items() if h is not None})


def containing_unit(binding: Binding, block: int, name: str) -> ContainingUnit | None:
    """The innermost unit around a parameter; None where the model has no such module."""
    here: BoundModule | None = binding.root
    found, path = ContainingUnit(None, ""), ""
    for part in ["", *name.split(".")[:-1]]:
        here = here.children.get(part) if part and here else here
        if here is None:
            return None
        path = f"{path}.{part}" if path and part else path or part
        entry = here.entries.get(block)
        if entry is not None:
            patterns = binding.resolved.blocks[block].entries[entry].value.patterns
            if len(patterns) == 1:
                found = ContainingUnit(entry, path)
            else:
                reached = (match_segments(p.segments, {binding.root: ""}) for p in patterns)
                found = ContainingUnit(
                    entry, "", next((i for i, met in enumerate(reached) if here in met), 0)
                )
    return found


def _diagnose(entries: tuple[Located, ...], units: dict[str, ContainingUnit]) -> Diagnostic:
    def text(name: str) -> str:
        entry = units[name].entry
        if entry is None:
            return "no unit"
        value = entries[entry].value
        return (
            " + ".join(map(str, value.patterns))
            if len(value.patterns) > 1
            else display_name(units[name].module)
        )

    taken = sorted({h.entry for h in units.values() if h.entry is not None})
    # The unit that can give its share up is the smaller one: not the model itself.
    told = [e for e in taken if not entries[e].value.patterns[0].is_root] or taken
    places = {e: next(name for name, h in units.items() if h.entry == e) for e in taken}
    last = told[-1]
    others = tuple(entries[e].location.label(f"takes {places[e]}", "patterns") for e in taken if e != last)
    return diagnostic("F612", entries[last].location.label(f"takes {places[last]}", "patterns"),
                  "tied parameters are in different units, which breaks the tie",
                  *[f"unit: {name} is in {text(name)}" for name in units],
                  "help: leave their modules to one unit, as root",
                  secondary=others, fix=remove_pattern_fix(entries[last], units[places[last]].pattern),
                  module=places[last].rpartition(".")[0])  # fmt: skip
