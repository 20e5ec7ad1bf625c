"""A unit that takes in no parameter.

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

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings
from planc.resolve.bind import Binding, Bound
from planc.resolve.sites import governed, where


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    owned: dict[Bound, bool] = {}

    def owns(bound: Bound) -> bool:
        if bound not in owned:
            owned[bound] = bool(bound.module.parameters) or any(map(owns, bound.children.values()))
        return owned[bound]

    for _, entry, found in governed(binding, "fsdp"):
        empty = [site for site in found if not owns(site.bound)]
        if empty:
            yield broken("F614", entry.place.label(f"of class {empty[0].bound.module.class_name}", "patterns"),
                         "a unit of a module without parameters", where(empty),
                         "help: leave it out", module=empty[0].name)  # fmt: skip
