"""An FSDP unit without parameters.

There is nothing to shard or to gather: the name is wrong, or the line can go.

Wrong (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        model.rotary_emb
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
from planc.bind.module_groups import location_note, rules_with_modules
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    known: dict[BoundModule, bool] = {}

    def has_parameters(bound: BoundModule) -> bool:
        if bound not in known:
            children = bound.children.values()
            known[bound] = bool(bound.module.parameters) or any(map(has_parameters, children))
        return known[bound]

    for _, entry, groups in rules_with_modules(binding, Unit):
        empty = [group for group in groups if not has_parameters(group.bound)]
        if empty:
            yield diagnostic("F614", entry.location.label(f"of class {empty[0].bound.module.class_name}", "patterns"),
                         "this unit has no parameters", location_note(empty),
                         "help: remove it", module=empty[0].name)  # fmt: skip
