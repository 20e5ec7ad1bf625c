"""A line for modules that the model never calls.

A boundary, a unit and a recomputed or compiled region act when their module is called. The
model's code calls the modules in a ModuleList and never the list itself, so a line for the
list has no effect, and FSDP would never gather its parameters.

Wrong (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers
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

from planc.bind.binding import Binding, BoundModule, entry_patterns
from planc.bind.module_calls import module_calls
from planc.bind.module_groups import ModuleGroup, location_note, rules_with_modules
from planc.bind.partial_match import match_segments
from planc.bind.pattern_source import find_pattern_source
from planc.ir.diagnostic import Diagnostic, Edit, Fix, diagnostic
from planc.ir.resolved import Located, Settings
from planc.ir.source import Span

CONTAINERS = {"ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
"""Classes of torch that only contain other modules."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    called = module_calls(binding)
    contains_called: dict[BoundModule, bool] = {}

    def has_called_module(bound: BoundModule) -> bool:
        if bound not in contains_called:
            contains_called[bound] = bound in called or any(map(has_called_module, bound.children.values()))
        return contains_called[bound]

    for block, entry, groups in rules_with_modules(binding):
        if not entry.value.acts_on_calls:
            continue
        # If nothing inside it is called either, the module may be called under another name, or in another run.
        uncalled = [
            group
            for group in groups
            if group.bound not in called and (_is_container(group.bound) or has_called_module(group.bound))
        ]
        if uncalled:
            first = uncalled[0]
            yield diagnostic("F610", entry.location.label(f"of class {first.bound.module.class_name}", entry.value.pattern_field),
                         f"the model never calls this module, so {block.row.never_called}", location_note(uncalled),
                         "needed: modules that the model's code calls",
                         fix=_contents_fix(binding, entry, first) if _is_container(first.bound) else None,
                         module=first.name)  # fmt: skip


def _is_container(bound: BoundModule) -> bool:
    return not CONTAINERS.isdisjoint((bound.module.class_name, *bound.module.bases))


def _contents_fix(binding: Binding, entry: Located, group: ModuleGroup) -> Fix | None:
    """Names the modules in a container instead of the container."""
    for number, pattern in enumerate(entry_patterns(entry.value)):
        if group.bound in match_segments(pattern.segments, {binding.root: ""}) and pattern.class_name is None:
            source = find_pattern_source(binding.resolved, entry, number, len(pattern.segments) - 1)
            if source.span is not None and source.let_name is None:
                end = source.span.end
                return Fix(f"did you mean '{pattern}.*'?", (Edit(Span(end, end), ".*"),))
    return None
