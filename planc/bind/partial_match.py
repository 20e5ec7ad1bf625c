"""Following a pattern down a model, name by name, to see how far it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import BoundModule
from planc.bind.pattern_matcher import matches_glob
from planc.ir.pattern import Choice, Pattern, Segment

MatchedModules = Mapping[BoundModule, str]
"""Modules where a pattern stands, each with the first name that leads there."""


def match_segment(modules: MatchedModules, segment: Segment) -> dict[BoundModule, str]:
    """The modules that one name of a pattern leads to."""
    found: dict[BoundModule, str] = {}
    if segment == ("**",):
        for bound, name in modules.items():
            _all_descendants(bound, name, found)
        return found
    names = segment_alternatives(segment)
    plain = [n for n in names if n[0] != "!" and "*" not in n]
    globs = [n for n in names if n[0] == "!" or "*" in n]
    for bound, name in modules.items():
        for own in plain:
            if own in bound.children:
                found.setdefault(bound.children[own], _join(name, own))
        for own, child in bound.children.items() if globs else ():
            if child not in found and any(matches_glob(glob, own) for glob in globs):
                found[child] = _join(name, own)
    return found


def _join(name: str, own: str) -> str:
    return f"{name}.{own}" if name else own


def _all_descendants(bound: BoundModule, name: str, found: dict[BoundModule, str]) -> None:
    if bound not in found:
        found[bound] = name
        for own, child in bound.children.items():
            _all_descendants(child, _join(name, own), found)


def segment_alternatives(segment: Segment) -> list[str]:
    """One name of a pattern with its choices spelled out."""
    return [name for name, _ in Pattern((segment, ("*",))).alternatives()]


def match_segments(segments: tuple[Segment, ...], modules: MatchedModules) -> MatchedModules:
    """The modules that some names lead to from here."""
    for segment in segments:
        modules = match_segment(modules, segment)
        if not modules:
            break
    return modules


def filter_by_class(modules: MatchedModules, class_name: str | None) -> MatchedModules:
    """Those of a class, or of one that derives from it."""
    if class_name is None:
        return modules
    return {b: n for b, n in modules.items() if class_name in (b.module.class_name, *b.module.bases)}


def segments_from_root(pattern: Pattern, root: BoundModule) -> tuple[tuple[Segment, ...], MatchedModules]:
    """The names of a pattern, and the module where they begin."""
    return (() if pattern.is_root else pattern.segments), {root: ""}


def single_choice_patterns(pattern: Pattern) -> Iterator[tuple[int, str, Pattern]]:
    """The pattern with one name of one of its choices alone, each in turn: which segment,
    the name, and that pattern."""
    for number, segment in enumerate(pattern.segments):
        for place, piece in enumerate(segment):
            if isinstance(piece, Choice) and not piece.negated and 1 < len(piece.items) <= MAX_CHOICE_ITEMS:
                for item in piece.items:
                    if isinstance(item, str):
                        alone = (*segment[:place], item, *segment[place + 1 :])
                        segments = (*pattern.segments[:number], alone, *pattern.segments[number + 1 :])
                        yield number, item, Pattern(segments, pattern.class_name)


MAX_CHOICE_ITEMS = 64
"""Names of a choice that are each looked for."""
