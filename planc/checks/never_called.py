"""A line for modules that the model never calls.

A boundary, a unit, a recomputed or compiled region acts when its module is called. A
ModuleList is a shelf: the model's code calls what stands on it, never the list itself.
So the line would have no effect, and a unit's parameters would not be gathered.

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
from typing import Any

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic, Edit, Fix
from planc.ir.settled import Placed, Settings
from planc.ir.source import Span
from planc.resolve.bind import Binding, Bound, patterns
from planc.resolve.calls import calls
from planc.resolve.follow import follow
from planc.resolve.sites import Site, governed, where
from planc.resolve.written import written

SHELVES = {"ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
"""Classes of torch that only hold others."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    called = calls(binding)
    alive: dict[Bound, bool] = {}

    def has_called(bound: Bound) -> bool:
        if bound not in alive:
            alive[bound] = bound in called or any(map(has_called, bound.children.values()))
        return alive[bound]

    for block, entry, found in governed(binding, "tensor", "fsdp", "recompute", "compile"):
        if block.kind == "tensor" and not _acts(entry.value):
            continue
        # A module without called ones inside may be there under another name, or in another run.
        unseen = [s for s in found if s.bound not in called and (_is_shelf(s.bound) or has_called(s.bound))]
        if unseen:
            first = unseen[0]
            yield broken("F610", entry.place.label(f"of class {first.bound.module.class_name}", *_field(entry.value)),
                         f"the model never calls this module, so {_lost(block.kind)}", where(unseen),
                         "needed: modules that the model's code calls",
                         fix=_inside(binding, entry, first) if _is_shelf(first.bound) else None,
                         module=first.name)  # fmt: skip


def _acts(rule: Any) -> bool:
    """Whether a rule has a boundary."""
    return rule.style is not None or bool(rule.inputs or rule.outputs)


def _is_shelf(bound: Bound) -> bool:
    return not SHELVES.isdisjoint((bound.module.class_name, *bound.module.bases))


def _lost(kind: str) -> str:
    return {
        "tensor": "nothing passes this boundary",
        "fsdp": "this unit is never gathered",
        "recompute": "nothing is recomputed",
        "compile": "nothing is compiled",
    }[kind]


def _field(entry: Any) -> tuple[str, ...]:
    return ("patterns",) if hasattr(entry, "patterns") else ("pattern",)


def _inside(binding: Binding, entry: Placed, site: Site) -> Fix | None:
    """The modules on the shelf, in its place."""
    for number, pattern in enumerate(patterns(entry.value)):
        if site.bound in follow(pattern.segments, {binding.root: ""}) and pattern.class_name is None:
            source = written(binding.settled, entry, number, len(pattern.segments) - 1)
            if source.span is not None and source.let is None:
                end = source.span.end
                return Fix(f"did you mean '{pattern}.*'?", (Edit(Span(end, end), ".*"),))
    return None
