"""Did you mean: the names nearest to a word."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name most like `word`, or None where none is like it."""
    import difflib  # only a plan with a fault pays for it

    found = difflib.get_close_matches(word, sorted(set(names) - {word}), n=1, cutoff=0.7)
    return found[0] if found else None


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names as a phrase, `a, b, c`, cut where there are many."""
    every = sorted(names)
    cut = "" if len(every) <= most else f", and {len(every) - most} more"
    return ", ".join(every[:most]) + cut
