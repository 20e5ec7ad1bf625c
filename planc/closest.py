"""Did you mean: the names nearest to a word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_WORD_LENGTH = 64
"""Characters of a word that is worth comparing."""
MAX_CANDIDATES = 24
"""Names that are compared with a word, those of its length and beginning first."""


def closest_match(word: str, names: Iterable[str]) -> str | None:
    """The name most like `word`, or None where none is like it."""
    size = len(word)
    if not 0 < size <= MAX_WORD_LENGTH:
        return None
    alike = [n for n in set(names) - {word} if abs(len(n) - size) <= max(2, size // 2)]
    if len(alike) > MAX_CANDIDATES:
        alike.sort(key=lambda n: (n[0] != word[0], n[-1] != word[-1], abs(len(n) - size), n))
        del alike[MAX_CANDIDATES:]
    import difflib  # only a plan with a fault pays for it

    found = difflib.get_close_matches(word, sorted(alike), n=1, cutoff=0.7)
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
