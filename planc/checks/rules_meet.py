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
    groups_of: dict[EntryConflict, list[ModuleGroup]] = {}
    for group in module_groups(binding):
        for conflict in group.bound.conflicts:
            groups_of.setdefault(conflict, []).append(group)
    if not groups_of:
        return
    # That check reports the conflicts that show without a model.
    reported = {
        (d.label.path, *(o.path for o in d.secondary)) for d in two_rules.check(binding.resolved, settings)
    }
    for conflict, groups in groups_of.items():
        block = binding.resolved.blocks[conflict.block]
        earlier, later = block.entries[conflict.first], block.entries[conflict.second]
        if earlier.value.when is not None or later.value.when is not None:
            continue  # perhaps only one of them applies
        first, second = _label(earlier, "the first"), _label(later, "the second")
        if (second.path, first.path) in reported or two_rules.are_in_two_blocks(earlier, later):
            continue
        on = f" on axis '{block.axes[0].value}'" if block.axes else ""
        yield diagnostic("F602", second, f"two {block.row.entry_noun} match one module{on}",
                     location_note(groups),
                     "help: write 'override' before the one that applies, or narrow a pattern",
                     secondary=(first,), module=groups[0].name)  # fmt: skip


def _label(entry: Located, text: str) -> Label:
    return entry.location.label(text, entry.value.pattern_field)
