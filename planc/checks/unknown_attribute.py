"""`attributes(...)` of an attribute that the module's code does not read.

The rule sets an attribute to its local value, such as the number of heads on one rank. Setting
an attribute that no code reads changes nothing: the name is wrong, or the rule is for another
module. A captured graph lists the numbers that the code of each module reads.

Wrong (planc check --model tiny-gpt.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        transformer.h.*.attn  attributes(splitsize: n_embd // tp)
    }

Right (planc check --model tiny-gpt.graph.json.gz --tp 1):

    mesh tp
    tensor tp {
        transformer.h.*.attn  attributes(split_size: n_embd // tp)
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, location_note, rules_with_modules
from planc.closest import closest_match, join_names
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import EvalError, evaluate
from planc.ir.resolved import Settings
from planc.ir.text_fixes import rename_fix


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for _, entry, groups in rules_with_modules(binding, Rule):
        for i, attribute in enumerate(entry.value.attributes):
            unread: dict[str, list[ModuleGroup]] = {}
            # A rule may be for several modules of which only some read the attribute.
            if not any(attribute.name in group.bound.module.attributes for group in groups):
                for group in groups:
                    unread.setdefault(group.bound.module.class_name, []).append(group)
            for class_name, matching in unread.items():
                read = matching[0].bound.module.attributes
                needed = (
                    f"needed: {join_names(read)}"
                    if read
                    else "needed: a module whose code reads numbers from attributes"
                )
                label = entry.location.label("", "attributes", i, "name")
                yield diagnostic("F608", entry.location.label(f"of class {class_name}", "attributes", i),
                             f"the module's code reads no attribute '{attribute.name}'", location_note(matching), needed,
                             fix=rename_fix(label, attribute.name, closest_match(attribute.name, read)),
                             module=matching[0].name)  # fmt: skip
            try:
                value = evaluate(attribute.value, binding.resolved.values)
            except EvalError:
                continue  # another check reports it
            if not unread and isinstance(value, int) and value < 1:
                yield diagnostic("F608", entry.location.label(f"this is {value}", "attributes", i, "value"),
                             f"no rank can have this share of '{attribute.name}'", location_note(groups),
                             f"unsharded: {_unsplit_value(groups, attribute.name)}",
                             "needed: a number of at least 1", module=groups[0].name)  # fmt: skip


def _unsplit_value(groups: list[ModuleGroup], name: str) -> int:
    """The value of an attribute in the unsharded model."""
    read = (group.bound.module.attributes for group in groups)
    return next(numbers[name] for numbers in read if name in numbers)
