"""Changes of recomputed regions: a narrower pattern, which leaves out the module that cannot run twice."""

from __future__ import annotations

from planc.bind.binding import Binding, BoundModule
from planc.ir.diagnostic import Edit, Fix
from planc.ir.graph import Call
from planc.ir.resolved import Located
from planc.proof.result import RegionFinding


def suggest_region(binding: Binding, finding: RegionFinding) -> Fix | None:
    """The modules inside of the region that do not contain the blamed code, in place of the whole region."""
    entry = finding.issue.origin.rule if finding.issue.origin is not None else None
    if entry is None or entry.value.pattern.class_name or entry.value.pattern.is_root:
        return None
    label = entry.location.label("", "pattern")
    written = label.source.text[label.span.start : label.span.end]
    names = _children_without(binding, entry, finding.modules[0])
    if label.source.format != "text" or not names or written.endswith("?"):
        return None
    narrower = f"{written}.{names[0] if len(names) == 1 else '{' + ','.join(names) + '}'}"
    return Fix(f"write '{narrower}'", (Edit(label.span, narrower),))


def _children_without(binding: Binding, entry: Located, blamed: str) -> list[str]:
    """The modules that a region calls and that do not contain a module."""
    for number, block in enumerate(binding.resolved.blocks):
        if not any(each is entry for each in block.entries):
            continue
        for name, bound in binding.root.named_modules():
            if binding.entry_for(bound, number) is entry and f"{blamed}.".startswith(f"{name}."):
                inside = blamed[len(name) + 1 :].partition(".")[0]
                return [child for child in _called_children(binding, bound) if child != inside]
    return []


def _called_children(binding: Binding, bound: BoundModule) -> list[str]:
    """The children that are called, wherever that is."""
    called = {
        step.module.rpartition(".")[2]
        for function in binding.graph.functions
        for step in function.steps
        if isinstance(step, Call)
    }
    return [name for name in bound.children if name in called]
