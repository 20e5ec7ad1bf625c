"""A recomputed module inside a recomputed one, or a compiled one inside a compiled one.

The outer region contains everything that runs inside it. Nested recomputation runs the inner
part a third time in the forward direction. Compiling the outer module compiles the inner one
too, so the inner line does nothing.

Wrong (planc check --model tiny-llama.graph.json.gz):

    recompute {
        model.layers.*
        model.layers.*.mlp
    }

Right (planc check --model tiny-llama.graph.json.gz):

    recompute {
        model.layers.*
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import ModuleGroup, location_note, propagate
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for number, block in enumerate(binding.resolved.blocks):
        if block.row.nesting is None or not block.entries:
            continue
        message, cost = block.row.nesting

        def innermost(around: int | None, bound: BoundModule, number: int = number) -> int | None:
            return bound.entries.get(number, around)

        nested: dict[tuple[int, int], list[ModuleGroup]] = {}
        for group in propagate(binding, None, innermost):
            inner = group.bound.entries.get(number)
            if inner is not None and group.context is not None:
                nested.setdefault((group.context, inner), []).append(group)
        for (outer, inner), groups in nested.items():
            secondary = (
                () if inner == outer else (block.entries[outer].location.label("the outer", "pattern"),)
            )
            yield diagnostic("F615", block.entries[inner].location.label("the inner", "pattern"), message,
                         location_note(groups), cost, "help: keep one of them", secondary=secondary,
                         module=groups[0].name)  # fmt: skip
