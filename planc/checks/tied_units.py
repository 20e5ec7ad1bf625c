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
    """The unit that contains a parameter."""

    entry: int | None
    """The number of the unit's entry; None: no unit contains the parameter."""
    module: str
    """The module that is the unit; '' for a unit of several modules."""
    pattern: int = 0
    """The pattern of the unit that matches the module."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    blocks_with_misses: set[int] | None = None
    for number, block in binding.resolved.active_blocks_of(Unit):
        for tie in binding.graph.ties if block.entries else ():
            units = {name: containing_unit(binding, number, name) for name in tie}
            distinct = {(u.entry, u.module) for u in units.values() if u is not None}
            if len(distinct) < 2:
                continue
            if blocks_with_misses is None:  # a pattern that matches nothing may be missing in the unit
                blocks_with_misses = {miss.block for miss in unmatched_patterns(binding)}
            if number not in blocks_with_misses:
                yield _diagnose(block.entries, {n: u for n, u in units.items() if u is not None})


def containing_unit(binding: Binding, block: int, name: str) -> ContainingUnit | None:
    """The innermost unit around a parameter; None where the model has no such module."""
    module: BoundModule | None = binding.root
    found, path = ContainingUnit(None, ""), ""
    for part in ["", *name.split(".")[:-1]]:
        module = module.children.get(part) if part and module else module
        if module is None:
            return None
        path = f"{path}.{part}" if path and part else path or part
        entry = module.entries.get(block)
        if entry is not None:
            patterns = binding.resolved.blocks[block].entries[entry].value.patterns
            if len(patterns) == 1:
                found = ContainingUnit(entry, path)
            else:
                matched = (match_segments(p.segments, {binding.root: ""}) for p in patterns)
                found = ContainingUnit(
                    entry, "", next((i for i, modules in enumerate(matched) if module in modules), 0)
                )
    return found


def _diagnose(entries: tuple[Located, ...], units: dict[str, ContainingUnit]) -> Diagnostic:
    def unit_name(name: str) -> str:
        entry = units[name].entry
        if entry is None:
            return "no unit"
        value = entries[entry].value
        return (
            " + ".join(map(str, value.patterns))
            if len(value.patterns) > 1
            else display_name(units[name].module)
        )

    numbers = sorted({unit.entry for unit in units.values() if unit.entry is not None})
    # The model itself keeps its parameters: a smaller unit can give them up.
    smaller = [e for e in numbers if not entries[e].value.patterns[0].is_root] or numbers
    names = {e: next(name for name, unit in units.items() if unit.entry == e) for e in numbers}
    last = smaller[-1]
    secondary = tuple(
        entries[e].location.label(f"contains {names[e]}", "patterns") for e in numbers if e != last
    )
    return diagnostic("F612", entries[last].location.label(f"contains {names[last]}", "patterns"),
                  "tied parameters are in different units, which breaks the tie",
                  *[f"unit: {name} is in {unit_name(name)}" for name in units],
                  "help: leave their modules to one unit, such as root",
                  secondary=secondary, fix=remove_pattern_fix(entries[last], units[names[last]].pattern),
                  module=names[last].rpartition(".")[0])  # fmt: skip
