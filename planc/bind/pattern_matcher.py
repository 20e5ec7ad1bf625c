"""Matching module names against many patterns at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any

from planc.ir.pattern import Choice, negated_choice

_WILD = frozenset("*!")


def is_literal_path(names: tuple[str, ...]) -> bool:
    """Whether an alternative of a pattern names one module."""
    return not any(name[0] == "!" or "*" in name for name in names)


class _Step:
    """A place in the tree of patterns: what may follow, and which patterns end here."""

    __slots__ = ("deep", "ends", "globs", "names")

    def __init__(self) -> None:
        self.names: dict[str, _Step] = {}
        self.globs: dict[str, _Step] = {}
        self.deep: _Step | None = None
        self.ends: list[Any] = []


class PatternMatcher:
    """A tree of patterns, one dotted name a step: a name is matched against all of them
    in one walk, however many there are."""

    def __init__(self) -> None:
        self._root = _Step()
        self.is_empty = True

    def add(self, names: tuple[str, ...], tag: Hashable) -> None:
        """Add one alternative of a pattern; `match` gives its tag."""
        self.is_empty = False
        step = self._root
        for name in names:
            if name == "**":
                step.deep = step.deep or _Step()
                step = step.deep
            elif _WILD.isdisjoint(name):
                step = step.names.setdefault(name, _Step())
            else:
                step = step.globs.setdefault(name, _Step())
        step.ends.append(tag)

    def start(self) -> MatchState:
        """Where matching begins: at the model itself."""
        return MatchState(_closed([self._root]))

    def match(self, names: tuple[str, ...]) -> Iterator[Any]:
        """The tags of the patterns that match a module, each once."""
        state = self.start()
        for name in names:
            state = state.descend(name)
        yield from state.tags


class MatchState:
    """Where in the tree of patterns a module stands: modules that stand at the same place
    have the same matches, and so have those below them."""

    __slots__ = ("_next", "_steps", "key")

    def __init__(self, steps: list[tuple[_Step, bool]]) -> None:
        self._steps = steps
        self.key = frozenset((id(step), stays) for step, stays in steps)
        """Equal for states that match the same, here and below."""
        self._next: dict[str, MatchState] = {}

    def descend(self, name: str) -> MatchState:
        """The state of a child."""
        found = self._next.get(name)
        if found is None:
            found = self._next[name] = self._after(name)
        return found

    def _after(self, name: str) -> MatchState:
        there: dict[int, _Step] = {}
        for step, stays in self._steps:
            if stays:
                there[id(step)] = step
            following = [step.names[name]] if name in step.names else []
            following += [s for glob, s in step.globs.items() if matches_glob(glob, name)]
            there.update((id(s), s) for s in following)
        return MatchState(_closed(list(there.values()), {id(s) for s, stays in self._steps if stays}))

    @property
    def tags(self) -> list[Any]:
        """The tags of the patterns that match here, each once."""
        return list(dict.fromkeys(tag for step, _ in self._steps for tag in step.ends))


def _closed(steps: list[_Step], deep: set[int] | None = None) -> list[tuple[_Step, bool]]:
    """The steps, with those that `**` reaches without a name; the flag says that a step
    lies behind `**`, and so may take any number of names."""
    found: dict[int, tuple[_Step, bool]] = {}
    stays = deep or set()
    pending = [(step, id(step) in stays) for step in steps]
    while pending:
        step, behind = pending.pop()
        if id(step) in found and (found[id(step)][1] or not behind):
            continue
        found[id(step)] = (step, behind)
        if step.deep is not None:
            pending.append((step.deep, True))
    return list(found.values())


def matches_glob(glob: str, name: str) -> bool:
    """Whether one name matches one name of a pattern, in time linear in both.

    `*` is any run of characters, and a whole name when it stands alone; `!{a,b}` is any
    name but these.
    """
    if glob == "*":
        return True
    if glob[0] == "!":
        return name not in _negated(glob)
    return _runs(glob.split("*"), name)


@lru_cache(maxsize=1024)
def _negated(glob: str) -> Choice:
    return negated_choice(glob)


def _runs(pieces: list[str], name: str) -> bool:
    """Whether a name is these pieces in order, with anything between them."""
    first, last = pieces[0], pieces[-1]
    if not (name.startswith(first) and name.endswith(last) and len(first) + len(last) <= len(name)):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in pieces[1:-1]:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
