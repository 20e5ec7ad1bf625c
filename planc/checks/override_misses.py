"""`override` on a line that overrides nothing on any module.

`override` says that the line replaces an earlier line of the block. If no module matches both,
either the pattern is mistaken, or the line that it replaced is gone.

Wrong (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.{0,1}
        override model.layers.{2,3}  keep
        root
    }

Right (planc check --model tiny-llama.graph.json.gz --dp 2):

    mesh dp
    fsdp dp {
        model.layers.*
        override model.layers.3  keep
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule, entry_patterns
from planc.bind.partial_match import filter_by_class, match_segments, segments_from_root
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.pattern import Pattern
from planc.ir.resolved import Located, Resolved, ResolvedBlock, Settings


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for number, block in enumerate(binding.resolved.blocks):
        for index, entry in enumerate(block.entries):
            if not entry.value.override or any((number, index, p) not in binding.matched_patterns
                                               for p in range(len(entry_patterns(entry.value)))):  # fmt: skip
                continue  # another check reports a pattern that matches nothing
            modules = _matched_modules(binding, entry_patterns(entry.value))
            earlier = _earlier_patterns(binding.resolved, block, entry)
            if any(modules & _matched_modules(binding, [pattern]) for pattern in earlier):
                continue
            yield diagnostic("F617", entry.location.label("", entry.value.pattern_field), "this overrides nothing",
                         f"needed: an earlier one of the {block.row.entry_noun}, for a module that this line names",
                         "help: remove 'override'")  # fmt: skip


def _matched_modules(binding: Binding, patterns: tuple[Pattern, ...] | list[Pattern]) -> set[BoundModule]:
    found: set[BoundModule] = set()
    for pattern in patterns:
        segments, root = segments_from_root(pattern, binding.root)
        found.update(filter_by_class(match_segments(segments, root), pattern.class_name))
    return found


def _earlier_patterns(resolved: Resolved, block: ResolvedBlock, entry: Located) -> Iterator[Pattern]:
    """The patterns of all lines before this one in its block, including those that it replaced, and those
    whose condition does not hold."""
    axis = block.axes[0].value if block.axes else ""
    first = next(i for i, d in enumerate(resolved.documents) if d is entry.location.document)
    for number, document in enumerate(resolved.documents[first:]):
        for i, declared in enumerate(document.plan.blocks):
            if declared.kind != block.kind or getattr(declared, "axis", "") != axis:
                continue
            field = block.row.entries_field
            for j, line in enumerate(getattr(declared, field)):
                if number == 0 and ("blocks", i, field, j) == entry.location.path:
                    break
                for pattern in entry_patterns(line):
                    yield _without_let(resolved, pattern)


def _without_let(resolved: Resolved, pattern: Pattern) -> Pattern:
    head = pattern.segments[0]
    base = resolved.patterns.get(str(head[0])) if len(head) == 1 and isinstance(head[0], str) else None
    if base is None:
        return pattern
    return Pattern(base.segments + pattern.segments[1:], pattern.class_name or base.class_name)
