"""A parameter without dims in an FSDP unit.

`fully_shard` shards every parameter along its first dim and refuses a scalar, such as the
temperature of a contrastive loss. Store it as a tensor with one element.

Wrong (planc check --model tiny-scaled.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        root
    }

Right (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import ModuleGroup, location_note, propagate, qualified_name
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    if not any(not info.shape for m in binding.graph.modules for info in m.parameters.values()):
        return
    for number, block in binding.resolved.active_blocks_of(Unit):

        def innermost_unit(around: int | None, bound: BoundModule, number: int = number) -> int | None:
            return bound.entries.get(number, around)

        scalars: dict[tuple[int, str], list[ModuleGroup]] = {}
        for group in propagate(binding, None, innermost_unit):
            unit = innermost_unit(group.context, group.bound)
            for name, info in group.bound.module.parameters.items():
                if unit is not None and not info.shape:
                    scalars.setdefault((unit, name), []).append(group)
        for (unit, name), groups in scalars.items():
            yield diagnostic("F618", block.entries[unit].location.label("contains it", "patterns"),
                         f"'{qualified_name(groups[0].name, name)}' has no dim that FSDP could shard",
                         location_note(groups), "needed: a parameter with at least one dim, such as one of shape [1]",
                         module=groups[0].name)  # fmt: skip
