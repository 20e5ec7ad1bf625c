"""FSDP units that are nested in a way that `fully_shard` does not support.

Units are sharded from the inside out, and a parameter belongs to the innermost unit around it.
All modules of a unit are sharded at once: if one of them lies inside another, it adds nothing,
and two units that each lie inside the other have no order.

Wrong (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.0 + model.layers.0.mlp
        root
    }

Right (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.0.mlp
        model.layers.0
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import ModuleGroup, location_note, propagate
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for number, block in binding.resolved.active_blocks_of(Unit):
        groups = frozenset(i for i, entry in enumerate(block.entries) if len(entry.value.patterns) > 1)
        if not groups:
            continue

        def into(around: frozenset[int], bound: BoundModule, number: int = number,
                 groups: frozenset[int] = groups) -> frozenset[int]:  # fmt: skip
            return around | ({bound.entries[number]} & groups if number in bound.entries else set())

        inside: dict[tuple[int, int], ModuleGroup] = {}
        within: dict[int, list[ModuleGroup]] = {}
        for site in propagate(binding, frozenset(), into):
            unit = site.bound.entries.get(number)
            if unit is None:
                continue
            if unit in site.context:
                within.setdefault(unit, []).append(site)
            elif unit in groups:
                inside.update({(unit, outer): site for outer in site.context if (unit, outer) not in inside})
        for unit, found in within.items():
            yield diagnostic("F611", block.entries[unit].location.label("", "patterns"),
                         "a unit holds a module and one inside it", location_note(found),
                         "help: leave the inner one out, or make it a unit of its own",
                         module=found[0].name)  # fmt: skip
        for inner, outer in _cycles(inside):
            site = inside[inner, outer]
            yield diagnostic("F611", block.entries[outer].location.label("", "patterns"),
                         "two units each lie inside the other, so neither can be sharded first",
                         f"at: {site.name}", "help: make units of modules that lie side by side",
                         secondary=(block.entries[inner].location.label("the other", "patterns"),),
                         module=site.name)  # fmt: skip


def _cycles(inside: Mapping[tuple[int, int], ModuleGroup]) -> Iterator[tuple[int, int]]:
    """The last pair of units of each circle."""
    around: dict[int, set[int]] = {}
    for inner, outer in inside:
        around.setdefault(inner, set()).add(outer)
    for inner, outer in inside:
        if outer > inner and inner in _enclosing_units(outer, around):
            yield inner, outer


def _enclosing_units(unit: int, around: Mapping[int, set[int]]) -> set[int]:
    found: set[int] = set()
    pending = [unit]
    while pending:
        fresh = around.get(pending.pop(), set()) - found
        found |= fresh
        pending += fresh
    return found
