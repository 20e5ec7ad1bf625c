"""What a pattern that stops may have meant: a name nearby, a name left out, one too many."""

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
    """An edit of the name where a pattern stops.

    Args:
        number: the name, in the pattern without lets.
        here: the modules before it.
        item: the one name of its braces that is wrong.
    """
    if source.span is None:
        return None
    segment = pattern.segments[index]
    children = list(dict.fromkeys(own for bound in modules for own in bound.children))
    if item is not None:
        return _choice_item_fix(
            source, source.span, item, closest_match("".join(map(str, segment)), children)
        )
    meant = _closest_segment(segment, children)
    if meant is not None:
        return _replacement(source.span, meant)
    rest = pattern.segments[index:]
    if rest[0] in (("*",), ("**",)):
        return None
    left_out = _missing_segments(rest, pattern.class_name, modules)
    if left_out is not None:
        text = ".".join("*" if name.isdigit() else name for name in left_out)
        return Fix(
            f"'{text}' is missing before it", (Edit(Span(source.span.start, source.span.start), f"{text}."),)
        )
    if len(rest) == 1 or rest[1] in (("*",), ("**",)) or source.index + 1 == len(source.segment_spans):
        return None
    if filter_by_class(match_segments(rest[1:], modules), pattern.class_name):
        span = Span(source.span.start, source.segment_spans[source.index + 1].start)
        return Fix("this name is one too many", (Edit(span, ""),))
    return None


def _replacement(span: Span, text: str) -> Fix:
    return Fix(f"did you mean '{text}'?", (Edit(span, text),))


def _closest_segment(segment: Segment, children: list[str]) -> str | None:
    """The name, or the names of the braces, that are nearest."""
    names = segment_alternatives(segment)
    if len(names) > 64 or any("*" in name or name[0] == "!" for name in names):
        return None
    meant = [
        name if name in children else closest_match(name, children) or _anagram(name, children)
        for name in names
    ]
    known = [name for name in meant if name is not None]
    if len(known) < len(names) or len(set(known)) < len(known):
        return None
    if len(known) == 1:
        return known[0]
    choice = next(piece for piece in segment if isinstance(piece, Choice))
    items = list(choice.names())
    if len(items) == len(known):
        around = _common_affixes(items, known)
        if around is not None:
            return f"{around[0]}{choice}{around[1]}"
    return f"{{{','.join(known)}}}"


def _anagram(name: str, children: list[str]) -> str | None:
    """The one child of the same letters: short names are too unlike each other to be near."""
    same = [child for child in children if sorted(child) == sorted(name)]
    return same[0] if len(same) == 1 else None


def _common_affixes(items: list[str], names: list[str]) -> tuple[str, str] | None:
    """What stands before and behind the items, if the same does in every name."""
    at = names[0].find(items[0])
    while at >= 0:
        before, behind = names[0][:at], names[0][at + len(items[0]) :]
        if all(name == f"{before}{item}{behind}" for item, name in zip(items, names, strict=True)):
            return before, behind
        at = names[0].find(items[0], at + 1)
    return None


def _choice_item_fix(source: PatternSource, span: Span, item: str, meant: str | None) -> Fix | None:
    """One name in braces, replaced in the text."""
    pieces = source.segment
    place = next((i for i, p in enumerate(pieces) if isinstance(p, Choice) and item in p.items), None)
    if (
        meant is None
        or place is None
        or any(not isinstance(p, str) for i, p in enumerate(pieces) if i != place)
    ):
        return None
    before, behind = "".join(map(str, pieces[:place])), "".join(map(str, pieces[place + 1 :]))
    name = meant[len(before) : len(meant) - len(behind)]
    choice = pieces[place]
    if f"{before}{name}{behind}" != meant or not name or not isinstance(choice, Choice) or name in choice:
        return None
    items = ",".join(name if each == item else str(each) for each in choice.items)
    return Fix(f"did you mean '{meant}'?", (Edit(span, f"{before}{{{items}}}{behind}"),))


def _missing_segments(
    rest: tuple[Segment, ...], class_name: str | None, here: MatchedModules
) -> list[str] | None:
    """The names that lead from here to modules where the rest of a pattern matches."""
    seen = set(here)
    level: list[tuple[BoundModule, list[str]]] = [(bound, []) for bound in here]
    while level:
        following: list[tuple[BoundModule, list[str]]] = []
        for bound, path in level:
            for own, child in bound.children.items():
                if child in seen:
                    continue
                seen.add(child)
                if filter_by_class(match_segments(rest, {child: ""}), class_name):
                    return [*path, own]
                following.append((child, [*path, own]))
        level = following
    return None
