"""`override` before a line that meets no earlier one on any module.

The word says that an earlier line of the block gives way. Where no module has two
lines, either the pattern is not what it was meant to be, or the line it replaced is
gone, and the plan says something that is not so.

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

from planc.blocks import KINDS
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.pattern import Pattern
from planc.ir.settled import Placed, Settings, Settled, SettledBlock
from planc.resolve.bind import Binding, Bound, patterns
from planc.resolve.follow import follow, of_class, start


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for number, block in enumerate(binding.settled.blocks):
        for index, entry in enumerate(block.entries):
            if not entry.value.override or any((number, index, p) not in binding.matched
                                               for p in range(len(patterns(entry.value)))):  # fmt: skip
                continue  # a pattern that matches nothing is a fault of its own
            own = _reached(binding, patterns(entry.value))
            earlier = _earlier(binding.settled, block, entry)
            if any(own & _reached(binding, [pattern]) for pattern in earlier):
                continue
            field = "patterns" if hasattr(entry.value, "patterns") else "pattern"
            yield broken("F617", entry.place.label("", field), "this overrides nothing",
                         f"needed: an earlier one of the {KINDS[block.kind].noun}, for a module that this names",
                         "help: leave out 'override'")  # fmt: skip


def _reached(binding: Binding, wanted: tuple[Pattern, ...] | list[Pattern]) -> set[Bound]:
    found: set[Bound] = set()
    for pattern in wanted:
        segments, here = start(pattern, binding.root)
        found.update(of_class(follow(segments, here), pattern.class_name))
    return found


def _earlier(settled: Settled, block: SettledBlock, entry: Placed) -> Iterator[Pattern]:
    """The patterns of all lines that stand before one in its block, also of those that it has
    replaced, and of those whose condition does not hold."""
    axis = block.axes[0].value if block.axes else ""
    own = next(i for i, d in enumerate(settled.documents) if d is entry.place.document)
    for number, document in enumerate(settled.documents[own:]):
        for i, written in enumerate(document.plan.blocks):
            if written.kind != block.kind or getattr(written, "axis", "") != axis:
                continue
            field = KINDS[block.kind].entries
            for j, line in enumerate(getattr(written, field)):
                if number == 0 and ("blocks", i, field, j) == entry.place.path:
                    break
                for pattern in patterns(line):
                    yield _without_let(settled, pattern)


def _without_let(settled: Settled, pattern: Pattern) -> Pattern:
    head = pattern.segments[0]
    base = settled.patterns.get(str(head[0])) if len(head) == 1 and isinstance(head[0], str) else None
    if base is None:
        return pattern
    return Pattern(base.segments + pattern.segments[1:], pattern.class_name or base.class_name)
