"""Two lines of a block that meet on a module of the model.

Patterns that look different may match the same module. A module takes one rule on an
axis, is in one unit, and is treated in one way; no rule wins silently. The later one
says `override`, or one of the patterns is narrowed.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.*_proj          rowwise
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.blocks import KINDS
from planc.checks import two_rules
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic, Label
from planc.ir.settled import Placed, Settings
from planc.resolve.bind import Binding, Clash
from planc.resolve.sites import Site, sites, where


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    met: dict[Clash, list[Site]] = {}
    for site in sites(binding):
        for clash in site.bound.clashes:
            met.setdefault(clash, []).append(site)
    if not met:
        return
    # What the plan alone shows is said there.
    said = {(d.label.path, *(o.path for o in d.others)) for d in two_rules.check(binding.settled, settings)}
    for clash, found in met.items():
        block = binding.settled.blocks[clash.block]
        earlier, later = block.entries[clash.first], block.entries[clash.second]
        if earlier.value.when is not None or later.value.when is not None:
            continue  # they may not both be there
        one, other = _label(earlier, "the first"), _label(later, "the second")
        if (other.path, one.path) in said or _two_blocks(earlier, later):
            continue
        on = f" on axis '{block.axes[0].value}'" if block.axes else ""
        yield broken("F602", other, f"two {KINDS[block.kind].noun} meet on one module{on}",
                     where(found),
                     "help: write 'override' before the one that is to win, or narrow a pattern",
                     others=(one,), module=found[0].name)  # fmt: skip


def _label(entry: Placed, text: str) -> Label:
    return entry.place.label(text, "patterns" if hasattr(entry.value, "patterns") else "pattern")


def _two_blocks(earlier: Placed, later: Placed) -> bool:
    """Two blocks of one kind and axis: that is the fault, and said."""
    return earlier.place.document is later.place.document and earlier.place.path[1] != later.place.path[1]
