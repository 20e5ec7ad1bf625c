"""Suggestions for misspelt names, and lists of names for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_WORD_LENGTH = 64
"""A longer word has no closest name."""
MAX_CANDIDATES = 24
"""The most names that are compared with a word: those of similar length and the same first letter."""


def closest_match(word: str, names: Iterable[str]) -> str | None:
    """The name most similar to `word`; None where no name is similar."""
    size = len(word)
    if not 0 < size <= MAX_WORD_LENGTH:
        return None
    similar = [n for n in set(names) - {word} if abs(len(n) - size) <= max(2, size // 2)]
    if len(similar) > MAX_CANDIDATES:
        similar.sort(key=lambda n: (n[0] != word[0], n[-1] != word[-1], abs(len(n) - size), n))
        del similar[MAX_CANDIDATES:]
    import difflib  # only needed for plans with errors

    found = difflib.get_close_matches(word, sorted(similar), n=1, cutoff=0.7)
    return found[0] if found else None


def join_names(names: Iterable[str], limit: int = 8) -> str:
    """Names as a phrase, `a, b, c`, cut where there are many."""
    every = sorted(names)
    cut = "" if len(every) <= limit else f", and {len(every) - limit} more"
    return ", ".join(every[:limit]) + cut


def closest_name(word: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant, even if only its case is wrong; None: no name is close."""
    by_lower_case = {name.lower(): name for name in names}
    return by_lower_case.get(word.lower()) or closest_match(word, names)
