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
        grouped = frozenset(i for i, entry in enumerate(block.entries) if len(entry.value.patterns) > 1)
        if not grouped:
            continue

        def enclosing(around: frozenset[int], bound: BoundModule, number: int = number,
                      grouped: frozenset[int] = grouped) -> frozenset[int]:  # fmt: skip
            return around | ({bound.entries[number]} & grouped if number in bound.entries else set())

        inside: dict[tuple[int, int], ModuleGroup] = {}
        within: dict[int, list[ModuleGroup]] = {}
        for group in propagate(binding, frozenset(), enclosing):
            unit = group.bound.entries.get(number)
            if unit is None:
                continue
            if unit in group.context:
                within.setdefault(unit, []).append(group)
            elif unit in grouped:
                inside.update(
                    {(unit, outer): group for outer in group.context if (unit, outer) not in inside}
                )
        for unit, groups in within.items():
            yield diagnostic("F611", block.entries[unit].location.label("", "patterns"),
                         "a unit contains a module and one inside it", location_note(groups),
                         "help: remove the inner one, or make it a unit of its own",
                         module=groups[0].name)  # fmt: skip
        for inner, outer in _cycles(inside):
            group = inside[inner, outer]
            yield diagnostic("F611", block.entries[outer].location.label("", "patterns"),
                         "two units each lie inside the other, so neither can be sharded first",
                         f"at: {group.name}", "help: make units of modules that do not contain each other",
                         secondary=(block.entries[inner].location.label("the other", "patterns"),),
                         module=group.name)  # fmt: skip


def _cycles(inside: Mapping[tuple[int, int], ModuleGroup]) -> Iterator[tuple[int, int]]:
    """The last pair of units of each cycle."""
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
