"""Following a pattern down a model, name by name, to see how far it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.ir.pattern import Choice, Pattern, Segment
from planc.matching import glob_match
from planc.resolve.bind import Bound

Reached = Mapping[Bound, str]
"""Modules where a pattern stands, each with the first name that leads there."""


def step(here: Reached, segment: Segment) -> dict[Bound, str]:
    """The modules that one name of a pattern leads to."""
    found: dict[Bound, str] = {}
    if segment == ("**",):
        for bound, name in here.items():
            _all_below(bound, name, found)
        return found
    names = spellings(segment)
    plain = [n for n in names if n[0] != "!" and "*" not in n]
    globs = [n for n in names if n[0] == "!" or "*" in n]
    for bound, name in here.items():
        for own in plain:
            if own in bound.children:
                found.setdefault(bound.children[own], _join(name, own))
        for own, child in bound.children.items() if globs else ():
            if child not in found and any(glob_match(glob, own) for glob in globs):
                found[child] = _join(name, own)
    return found


def _join(name: str, own: str) -> str:
    return f"{name}.{own}" if name else own


def _all_below(bound: Bound, name: str, found: dict[Bound, str]) -> None:
    if bound not in found:
        found[bound] = name
        for own, child in bound.children.items():
            _all_below(child, _join(name, own), found)


def spellings(segment: Segment) -> list[str]:
    """One name of a pattern with its choices spelled out."""
    return [name for name, _ in Pattern((segment, ("*",))).alternatives()]


def follow(segments: tuple[Segment, ...], here: Reached) -> Reached:
    """The modules that some names lead to from here."""
    for segment in segments:
        here = step(here, segment)
        if not here:
            break
    return here


def of_class(here: Reached, class_name: str | None) -> Reached:
    """Those of a class, or of one that derives from it."""
    if class_name is None:
        return here
    return {b: n for b, n in here.items() if class_name in (b.module.class_name, *b.module.bases)}


def start(pattern: Pattern, root: Bound) -> tuple[tuple[Segment, ...], Reached]:
    """The names of a pattern, and the module where they begin."""
    return (() if pattern.is_root else pattern.segments), {root: ""}


def single_items(pattern: Pattern) -> Iterator[tuple[int, str, Pattern]]:
    """The pattern with one name of one of its choices alone, each in turn: which segment,
    the name, and that pattern."""
    for number, segment in enumerate(pattern.segments):
        for place, piece in enumerate(segment):
            if isinstance(piece, Choice) and not piece.negated and 1 < len(piece.items) <= MAX_ITEMS:
                for item in piece.items:
                    if isinstance(item, str):
                        alone = (*segment[:place], item, *segment[place + 1 :])
                        segments = (*pattern.segments[:number], alone, *pattern.segments[number + 1 :])
                        yield number, item, Pattern(segments, pattern.class_name)


MAX_ITEMS = 64
"""Names of a choice that are each looked for."""
