"""Where one name of a pattern stands in the text of a plan: in the line itself, or in the
let that the line starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.document import Place
from planc.ir.pattern import Pattern, Segment
from planc.ir.record import Record
from planc.ir.settled import Placed, Settled
from planc.ir.source import Span


class Written(Record):
    """A pattern as it is written, and the names of it that are asked for."""

    pattern: Pattern
    whole: Label
    names: tuple[Span, ...]
    """Where each of its names stands; empty where that cannot be told."""
    number: int
    """The name that is asked for."""
    let: str | None
    """The let that it stands in."""

    @property
    def segment(self) -> Segment:
        return self.pattern.segments[self.number]

    @property
    def span(self) -> Span | None:
        """Where the name stands."""
        return self.names[self.number] if self.names else None

    def label(self, text: str) -> Label:
        """Points at the name."""
        return Label(self.whole.source, self.span or self.whole.span, text, self.whole.path)


def pattern_place(entry: Placed, number: int) -> Place:
    """Where a pattern of a rule, a unit or a region stands."""
    return (
        entry.place.at("patterns", number) if hasattr(entry.value, "patterns") else entry.place.at("pattern")
    )


def written(settled: Settled, entry: Placed, pattern_number: int, name: int) -> Written:
    """Where a name of a settled pattern comes from.

    Args:
        name: its number in the pattern without lets.
    """
    place = pattern_place(entry, pattern_number)
    patterns = entry.value.patterns if hasattr(entry.value, "patterns") else (entry.value.pattern,)
    left = len(patterns[pattern_number].segments) - name  # names are counted from the end
    let: str | None = None
    while True:
        pattern: Pattern = _at(place)
        head = pattern.segments[0]
        base = head[0] if len(head) == 1 and head[0] in settled.patterns else None
        own = len(pattern.segments) - (base is not None)
        if left <= own or not isinstance(base, str):
            whole = place.label()
            return Written(pattern, whole, _names(whole, pattern), len(pattern.segments) - left, let)
        left, let, place = left - own, base, settled.lets[base].place.at("pattern")


def _at(place: Place) -> Any:
    """The piece of a plan that a place points at."""
    here: Any = place.document.plan
    for key in place.path:
        here = here[key] if isinstance(key, int) else getattr(here, key)
    return here


def _names(label: Label, pattern: Pattern) -> tuple[Span, ...]:
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


def renamed(label: Label, name: str, meant: str | None) -> Fix | None:
    """Put another name where this one begins, as the key of `hidden: stream -> replicate`."""
    at = label.source.text.find(name, label.span.start, label.span.end)
    if meant is None or not 0 <= at - label.span.start <= 1:
        return None
    return Fix(f"did you mean '{meant}'?", (Edit(Span(at, at + len(name)), meant),))


def lines_after(label: Label, lines: Sequence[str], message: str) -> Fix | None:
    """Write more lines below the one where this begins, with its indentation."""
    source = label.source
    if source.form != "text":
        return None
    begun = source.text.rfind("\n", 0, label.span.start) + 1
    indent = source.text[begun : label.span.start]
    end = source.text.find("\n", label.span.end)
    if indent.strip() or end < 0:
        return None
    return Fix(message, (Edit(Span(end, end), "".join(f"\n{indent}{line}" for line in lines)),))


def without(entry: Placed, number: int) -> Fix | None:
    """Leave out one pattern of a unit; where it is the only one, the whole line."""
    labels = [pattern_place(entry, i).label() for i in range(len(entry.value.patterns))]
    source = labels[number].source
    if source.form != "text":
        return None
    spans = [label.span for label in labels]
    if len(spans) > 1:
        span = (
            Span(spans[number - 1].end, spans[number].end) if number else Span(spans[0].start, spans[1].start)
        )
    else:
        begun = source.text.rfind("\n", 0, spans[0].start) + 1
        end = source.text.find("\n", spans[0].end) + 1
        if source.text[begun : spans[0].start].strip() or not end:
            return None
        span = Span(begun, end)
    return Fix(f"leave out '{entry.value.patterns[number]}'", (Edit(span, ""),))
