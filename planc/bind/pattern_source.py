"""Where one name of a pattern stands in the text of a plan: in the line itself, or in the
let that the line starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.document import PlanPath
from planc.ir.pattern import Pattern, Segment
from planc.ir.record import Record
from planc.ir.resolved import Located, Resolved
from planc.ir.source import Span


class PatternSource(Record):
    """A pattern as it is written, and the names of it that are asked for."""

    pattern: Pattern
    pattern_label: Label
    segment_spans: tuple[Span, ...]
    """Where each of its names stands; empty where that cannot be told."""
    index: int
    """The name that is asked for."""
    let_name: str | None
    """The let that it stands in."""

    @property
    def segment(self) -> Segment:
        return self.pattern.segments[self.index]

    @property
    def span(self) -> Span | None:
        """Where the name stands."""
        return self.segment_spans[self.index] if self.segment_spans else None

    def label(self, text: str) -> Label:
        """Points at the name."""
        return Label(
            self.pattern_label.source, self.span or self.pattern_label.span, text, self.pattern_label.path
        )


def pattern_path(entry: Located, pattern_index: int) -> PlanPath:
    """Where a pattern of a rule, a unit or a region stands."""
    return (
        entry.location.child("patterns", pattern_index)
        if hasattr(entry.value, "patterns")
        else entry.location.child("pattern")
    )


def find_pattern_source(
    resolved: Resolved, entry: Located, pattern_index: int, segment_index: int
) -> PatternSource:
    """Where a name of a settled pattern comes from.

    Args:
        name: its number in the pattern without lets.
    """
    place = pattern_path(entry, pattern_index)
    patterns = entry.value.patterns if hasattr(entry.value, "patterns") else (entry.value.pattern,)
    left = len(patterns[pattern_index].segments) - segment_index  # names are counted from the end
    let: str | None = None
    while True:
        pattern: Pattern = _value_at(place)
        head = pattern.segments[0]
        base = head[0] if len(head) == 1 and head[0] in resolved.patterns else None
        own = len(pattern.segments) - (base is not None)
        if left <= own or not isinstance(base, str):
            whole = place.label()
            return PatternSource(
                pattern, whole, _segment_spans(whole, pattern), len(pattern.segments) - left, let
            )
        left, let, place = left - own, base, resolved.lets[base].location.child("pattern")


def _value_at(place: PlanPath) -> Any:
    """The piece of a plan that a place points at."""
    here: Any = place.document.plan
    for key in place.path:
        here = here[key] if isinstance(key, int) else getattr(here, key)
    return here


def _segment_spans(label: Label, pattern: Pattern) -> tuple[Span, ...]:
    """The spans of the names of a pattern, without the dots, the class and the final `?`."""
    text = label.source.text[label.span.start : label.span.end]
    offset = 1 if text[:1] in ('"', "'") else 0
    text = text.strip("\"'").removesuffix("?").partition(":")[0]
    spans, depth, begun = [], 0, 0
    for at, letter in enumerate(f"{text}."):
        depth += (letter == "{") - (letter == "}")
        if letter == "." and not depth:
            start = label.span.start + offset
            spans.append(Span(start + begun, start + at))
            begun = at + 1
    return tuple(spans) if len(spans) == len(pattern.segments) else ()


def rename_fix(label: Label, name: str, meant: str | None) -> Fix | None:
    """Put another name where this one begins, as the key of `hidden: stream -> replicate`."""
    at = label.source.text.find(name, label.span.start, label.span.end)
    if meant is None or not 0 <= at - label.span.start <= 1:
        return None
    return Fix(f"did you mean '{meant}'?", (Edit(Span(at, at + len(name)), meant),))


def insert_lines_fix(label: Label, lines: Sequence[str], message: str) -> Fix | None:
    """Write more lines below the one where this begins, with its indentation."""
    source = label.source
    if source.format != "text":
        return None
    begun = source.text.rfind("\n", 0, label.span.start) + 1
    indent = source.text[begun : label.span.start]
    end = source.text.find("\n", label.span.end)
    if indent.strip() or end < 0:
        return None
    return Fix(message, (Edit(Span(end, end), "".join(f"\n{indent}{line}" for line in lines)),))


def remove_pattern_fix(entry: Located, pattern_index: int) -> Fix | None:
    """Leave out one pattern of a unit; where it is the only one, the whole line."""
    labels = [pattern_path(entry, i).label() for i in range(len(entry.value.patterns))]
    source = labels[pattern_index].source
    if source.format != "text":
        return None
    spans = [label.span for label in labels]
    if len(spans) > 1:
        span = (
            Span(spans[pattern_index - 1].end, spans[pattern_index].end)
            if pattern_index
            else Span(spans[0].start, spans[1].start)
        )
    else:
        begun = source.text.rfind("\n", 0, spans[0].start) + 1
        end = source.text.find("\n", spans[0].end) + 1
        if source.text[begun : spans[0].start].strip() or not end:
            return None
        span = Span(begun, end)
    return Fix(f"leave out '{entry.value.patterns[pattern_index]}'", (Edit(span, ""),))
