"""Where a segment of a pattern is written: in the line itself, or in a let that the line begins with."""

from __future__ import annotations

from typing import Any

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.document import PlanPath
from planc.ir.pattern import Pattern, Segment
from planc.ir.record import Record
from planc.ir.resolved import Located, Resolved
from planc.ir.source import Span


class PatternSource(Record):
    """A pattern as it is written, and one segment of it."""

    pattern: Pattern
    pattern_label: Label
    segment_spans: tuple[Span, ...]
    """Where each segment is written; empty where the text does not show it, as in YAML with escapes."""
    index: int
    """The number of the segment."""
    let_name: str | None
    """The let that it is written in."""

    @property
    def segment(self) -> Segment:
        return self.pattern.segments[self.index]

    @property
    def span(self) -> Span | None:
        """Where the segment is written."""
        return self.segment_spans[self.index] if self.segment_spans else None

    def label(self, text: str) -> Label:
        """A label at the segment, or at the whole pattern where its text does not show the segments."""
        pattern = self.pattern_label
        return Label(pattern.source, self.span or pattern.span, text, pattern.path)


def pattern_path(entry: Located, pattern_index: int) -> PlanPath:
    """The place of a pattern of a rule, a unit or a region."""
    return entry.location.child(*entry.value.pattern_path(pattern_index))


def find_pattern_source(
    resolved: Resolved, entry: Located, pattern_index: int, segment_index: int
) -> PatternSource:
    """Where a segment of a resolved pattern is written.

    Args:
        pattern_index: the number of the pattern in its entry.
        segment_index: the number of the segment in the pattern, its lets worked in.
    """
    location = pattern_path(entry, pattern_index)
    patterns = entry.value.named_patterns
    from_end = len(patterns[pattern_index].segments) - segment_index  # a let changes only what is before it
    let: str | None = None
    while True:
        pattern: Pattern = _value_at(location)
        head = pattern.segments[0]
        base = head[0] if len(head) == 1 and head[0] in resolved.patterns else None
        own_segments = len(pattern.segments) - (base is not None)
        if from_end <= own_segments or not isinstance(base, str):
            label = location.label()
            index = len(pattern.segments) - from_end
            return PatternSource(pattern, label, _segment_spans(label, pattern), index, let)
        from_end, let = from_end - own_segments, base
        location = resolved.lets[base].location.child("pattern")


def _value_at(location: PlanPath) -> Any:
    """The record or the value at a place of a plan."""
    value: Any = location.document.plan
    for key in location.path:
        value = value[key] if isinstance(key, int) else getattr(value, key)
    return value


def _segment_spans(label: Label, pattern: Pattern) -> tuple[Span, ...]:
    """The spans of the segments of a pattern, without the dots, the class and the final `?`."""
    text = label.source.text[label.span.start : label.span.end]
    offset = 1 if text[:1] in ('"', "'") else 0
    text = text.strip("\"'").removesuffix("?").partition(":")[0]
    spans, depth, segment_start = [], 0, 0
    for at, letter in enumerate(f"{text}."):
        depth += (letter == "{") - (letter == "}")
        if letter == "." and not depth:
            start = label.span.start + offset
            spans.append(Span(start + segment_start, start + at))
            segment_start = at + 1
    return tuple(spans) if len(spans) == len(pattern.segments) else ()


def remove_pattern_fix(entry: Located, pattern_index: int) -> Fix | None:
    """Remove one pattern of a unit; where it is the only one, the whole line."""
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
        line_start = source.text.rfind("\n", 0, spans[0].start) + 1
        end = source.text.find("\n", spans[0].end) + 1
        if source.text[line_start : spans[0].start].strip() or not end:
            return None
        span = Span(line_start, end)
    return Fix(f"leave out '{entry.value.patterns[pattern_index]}'", (Edit(span, ""),))
