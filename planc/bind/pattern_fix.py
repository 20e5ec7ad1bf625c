"""Fixes of a pattern that matches nothing: a misspelt name, a missing one, one too many."""

from __future__ import annotations

from planc.bind.binding import BoundModule
from planc.bind.partial_match import MatchedModules, filter_by_class, match_segments, segment_alternatives
from planc.bind.pattern_source import PatternSource
from planc.closest import closest_match
from planc.ir.diagnostic import Edit, Fix
from planc.ir.pattern import Choice, Pattern, Segment
from planc.ir.source import Span


def pattern_fix(
    source: PatternSource, pattern: Pattern, index: int, modules: MatchedModules, item: str | None = None
) -> Fix | None:
    """A change of the first segment of a pattern that matches no module.

    Args:
        source: the pattern as it is written.
        pattern: the pattern, its lets worked in.
        index: the number of the segment in it.
        modules: the modules that the segments before it match.
        item: the name in the braces of the segment that matches nothing, where others match.
    """
    if source.span is None:
        return None
    segment = pattern.segments[index]
    children = list(dict.fromkeys(name for bound in modules for name in bound.children))
    if item is not None:
        return _choice_item_fix(
            source, source.span, item, closest_match("".join(map(str, segment)), children)
        )
    closest = _closest_segment(segment, children)
    if closest is not None:
        return _replacement(source.span, closest)
    rest = pattern.segments[index:]
    if rest[0] in (("*",), ("**",)):
        return None
    missing = _missing_segments(rest, pattern.class_name, modules)
    if missing is not None:
        text = ".".join("*" if name.isdigit() else name for name in missing)
        return Fix(
            f"'{text}' is missing before it", (Edit(Span(source.span.start, source.span.start), f"{text}."),)
        )
    if len(rest) == 1 or rest[1] in (("*",), ("**",)) or source.index + 1 == len(source.segment_spans):
        return None
    if filter_by_class(match_segments(rest[1:], modules), pattern.class_name):
        span = Span(source.span.start, source.segment_spans[source.index + 1].start)
        return Fix("this name is one too many", (Edit(span, ""),))
    return None


def _replacement(span: Span, text: str, suggestion: str | None = None) -> Fix:
    return Fix(f"did you mean '{suggestion or text}'?", (Edit(span, text),))


def _closest_segment(segment: Segment, children: list[str]) -> str | None:
    """The child, or the children in braces, that a segment most likely means."""
    names = segment_alternatives(segment)
    if len(names) > 64 or any("*" in name or name[0] == "!" for name in names):
        return None
    closest = [
        name if name in children else closest_match(name, children) or _anagram(name, children)
        for name in names
    ]
    known = [name for name in closest if name is not None]
    if len(known) < len(names) or len(set(known)) < len(known):
        return None
    if len(known) == 1:
        return known[0]
    choice = next(piece for piece in segment if isinstance(piece, Choice))
    items = list(choice.names())
    if len(items) == len(known):
        affixes = _common_affixes(items, known)
        if affixes is not None:
            return f"{affixes[0]}{choice}{affixes[1]}"
    return f"{{{','.join(known)}}}"


def _anagram(name: str, children: list[str]) -> str | None:
    """The one child of the same letters: of short names, `closest_match` finds none similar."""
    anagrams = [child for child in children if sorted(child) == sorted(name)]
    return anagrams[0] if len(anagrams) == 1 else None


def _common_affixes(items: list[str], names: list[str]) -> tuple[str, str] | None:
    """The prefix and the suffix that make each name of its item; None where they differ."""
    at = names[0].find(items[0])
    while at >= 0:
        prefix, suffix = names[0][:at], names[0][at + len(items[0]) :]
        if all(name == f"{prefix}{item}{suffix}" for item, name in zip(items, names, strict=True)):
            return prefix, suffix
        at = names[0].find(items[0], at + 1)
    return None


def _choice_item_fix(source: PatternSource, span: Span, item: str, closest: str | None) -> Fix | None:
    """A change of one name in braces, where the braces can stay."""
    pieces = source.segment
    index = next((i for i, p in enumerate(pieces) if isinstance(p, Choice) and item in p.items), None)
    if (
        closest is None
        or index is None
        or any(not isinstance(p, str) for i, p in enumerate(pieces) if i != index)
    ):
        return None
    prefix, suffix = "".join(map(str, pieces[:index])), "".join(map(str, pieces[index + 1 :]))
    name = closest[len(prefix) : len(closest) - len(suffix)]
    choice = pieces[index]
    if f"{prefix}{name}{suffix}" != closest or not name or not isinstance(choice, Choice) or name in choice:
        return None
    items = ",".join(name if each == item else str(each) for each in choice.items)
    return _replacement(span, f"{prefix}{{{items}}}{suffix}", closest)


def _missing_segments(
    rest: tuple[Segment, ...], class_name: str | None, modules: MatchedModules
) -> list[str] | None:
    """The names between some modules and those below them where the rest of a pattern matches: a search
    in breadth, so that the shortest path is found."""
    visited = set(modules)
    level: list[tuple[BoundModule, list[str]]] = [(bound, []) for bound in modules]
    while level:
        next_level: list[tuple[BoundModule, list[str]]] = []
        for bound, path in level:
            for name, child in bound.children.items():
                if child in visited:
                    continue
                visited.add(child)
                if filter_by_class(match_segments(rest, {child: ""}), class_name):
                    return [*path, name]
                next_level.append((child, [*path, name]))
        level = next_level
    return None
