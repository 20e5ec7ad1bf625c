"""A pattern matched name by name, to see how far into the model it leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import BoundModule
from planc.bind.module_groups import qualified_name
from planc.bind.pattern_matcher import matches_glob
from planc.ir.pattern import Choice, Pattern, Segment

MatchedModules = Mapping[BoundModule, str]
"""Modules that the first names of a pattern match, each with the first dotted name that leads to it."""


def match_segment(modules: MatchedModules, segment: Segment) -> dict[BoundModule, str]:
    """The modules below some others that one segment of a pattern matches."""
    found: dict[BoundModule, str] = {}
    if segment == ("**",):
        for bound, name in modules.items():
            _all_descendants(bound, name, found)
        return found
    names = segment_alternatives(segment)
    plain = [n for n in names if n[0] != "!" and "*" not in n]
    globs = [n for n in names if n[0] == "!" or "*" in n]
    for bound, name in modules.items():
        for own_name in plain:
            if own_name in bound.children:
                found.setdefault(bound.children[own_name], qualified_name(name, own_name))
        for own_name, child in bound.children.items() if globs else ():
            if child not in found and any(matches_glob(glob, own_name) for glob in globs):
                found[child] = qualified_name(name, own_name)
    return found


def _all_descendants(bound: BoundModule, name: str, found: dict[BoundModule, str]) -> None:
    if bound not in found:
        found[bound] = name
        for own_name, child in bound.children.items():
            _all_descendants(child, qualified_name(name, own_name), found)


def segment_alternatives(segment: Segment) -> list[str]:
    """The names that one segment of a pattern stands for, its choices spelled out."""
    return [name for name, _ in Pattern((segment, ("*",))).alternatives()]


def match_segments(segments: tuple[Segment, ...], modules: MatchedModules) -> MatchedModules:
    """The modules that some segments of a pattern lead to, below some modules."""
    for segment in segments:
        modules = match_segment(modules, segment)
        if not modules:
            break
    return modules


def filter_by_class(modules: MatchedModules, class_name: str | None) -> MatchedModules:
    """The modules of a class, or of a subclass of it."""
    if class_name is None:
        return modules
    return {b: n for b, n in modules.items() if class_name in (b.module.class_name, *b.module.bases)}


def segments_from_root(pattern: Pattern, root: BoundModule) -> tuple[tuple[Segment, ...], MatchedModules]:
    """The segments of a pattern, and the module where matching begins."""
    return (() if pattern.is_root else pattern.segments), {root: ""}


def single_choice_patterns(pattern: Pattern) -> Iterator[tuple[int, str, Pattern]]:
    """The pattern with one of its choices reduced to one name, for each name in turn.

    Yields:
        The number of the segment, the name, and the pattern.
    """
    for number, segment in enumerate(pattern.segments):
        for position, piece in enumerate(segment):
            if isinstance(piece, Choice) and not piece.negated and 1 < len(piece.items) <= MAX_CHOICE_ITEMS:
                for item in piece.items:
                    if isinstance(item, str):
                        single = (*segment[:position], item, *segment[position + 1 :])
                        segments = (*pattern.segments[:number], single, *pattern.segments[number + 1 :])
                        yield number, item, Pattern(segments, pattern.class_name)


MAX_CHOICE_ITEMS = 64
"""A choice of more names is not taken apart."""
