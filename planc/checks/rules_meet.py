"""Two lines of a block that match the same module of the model.

Patterns that look different may match one module. On each axis a module has one rule, it is in
one unit, and it is recomputed or compiled in one way; no line wins silently. Write `override`
before the later line, or narrow one of the patterns.

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

from planc.bind.binding import Binding, EntryConflict
from planc.bind.module_groups import ModuleGroup, location_note, module_groups
from planc.checks import two_rules
from planc.ir.diagnostic import Diagnostic, Label, diagnostic
from planc.ir.resolved import Located, Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    met: dict[EntryConflict, list[ModuleGroup]] = {}
    for site in module_groups(binding):
        for clash in site.bound.conflicts:
            met.setdefault(clash, []).append(site)
    if not met:
        return
    # What the plan alone shows is said there.
    said = {
        (d.label.path, *(o.path for o in d.secondary)) for d in two_rules.check(binding.resolved, settings)
    }
    for clash, found in met.items():
        block = binding.resolved.blocks[clash.block]
        earlier, later = block.entries[clash.first], block.entries[clash.second]
        if earlier.value.when is not None or later.value.when is not None:
            continue  # they may not both be there
        one, other = _label(earlier, "the first"), _label(later, "the second")
        if (other.path, one.path) in said or _in_two_blocks(earlier, later):
            continue
        on = f" on axis '{block.axes[0].value}'" if block.axes else ""
        yield diagnostic("F602", other, f"two {block.row.entry_noun} meet on one module{on}",
                     location_note(found),
                     "help: write 'override' before the one that is to win, or narrow a pattern",
                     secondary=(one,), module=found[0].name)  # fmt: skip


def _label(entry: Located, text: str) -> Label:
    return entry.location.label(text, entry.value.pattern_field)


def _in_two_blocks(earlier: Located, later: Located) -> bool:
    """Two blocks of one kind and axis: that is the fault, and said."""
    return (
        earlier.location.document is later.location.document
        and earlier.location.path[1] != later.location.path[1]
    )
