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
"""Classes of torch that only hold others."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    called = module_calls(binding)
    alive: dict[BoundModule, bool] = {}

    def has_called(bound: BoundModule) -> bool:
        if bound not in alive:
            alive[bound] = bound in called or any(map(has_called, bound.children.values()))
        return alive[bound]

    for block, entry, found in rules_with_modules(binding):
        if not entry.value.acts_on_calls:
            continue
        # A module without called ones inside may be there under another name, or in another run.
        unseen = [
            s for s in found if s.bound not in called and (_is_container(s.bound) or has_called(s.bound))
        ]
        if unseen:
            first = unseen[0]
            yield diagnostic("F610", entry.location.label(f"of class {first.bound.module.class_name}", entry.value.pattern_field),
                         f"the model never calls this module, so {block.row.never_called}", location_note(unseen),
                         "needed: modules that the model's code calls",
                         fix=_contents_fix(binding, entry, first) if _is_container(first.bound) else None,
                         module=first.name)  # fmt: skip


def _is_container(bound: BoundModule) -> bool:
    return not CONTAINERS.isdisjoint((bound.module.class_name, *bound.module.bases))


def _contents_fix(binding: Binding, entry: Located, group: ModuleGroup) -> Fix | None:
    """The modules on the shelf, in its place."""
    for number, pattern in enumerate(entry_patterns(entry.value)):
        if group.bound in match_segments(pattern.segments, {binding.root: ""}) and pattern.class_name is None:
            source = find_pattern_source(binding.resolved, entry, number, len(pattern.segments) - 1)
            if source.span is not None and source.let_name is None:
                end = source.span.end
                return Fix(f"did you mean '{pattern}.*'?", (Edit(Span(end, end), ".*"),))
    return None
