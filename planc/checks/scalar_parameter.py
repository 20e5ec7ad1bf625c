"""A parameter of no dims in an FSDP unit.

`fully_shard` cuts every parameter along its first dim, and refuses one that has none,
such as the temperature of a contrastive loss. Store it as a tensor of one entry.

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

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings
from planc.resolve.bind import Binding, Bound
from planc.resolve.sites import Site, joined, spread, where


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    if not any(not info.shape for m in binding.graph.modules for info in m.parameters.values()):
        return
    for number, block in binding.settled.shards():

        def into(around: int | None, bound: Bound, number: int = number) -> int | None:
            return bound.entries.get(number, around)

        scalars: dict[tuple[int, str], list[Site]] = {}
        for site in spread(binding, None, into):
            unit = into(site.context, site.bound)
            for name, info in site.bound.module.parameters.items():
                if unit is not None and not info.shape:
                    scalars.setdefault((unit, name), []).append(site)
        for (unit, name), found in scalars.items():
            yield broken("F618", block.entries[unit].place.label("takes it in", "patterns"),
                         f"'{joined(found[0].name, name)}' has no dim that could be sharded",
                         where(found), "needed: a parameter of one dim or more, as one of shape [1]",
                         module=found[0].name)  # fmt: skip
