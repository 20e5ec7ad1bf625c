"""What a case of the judge is."""

from __future__ import annotations

from typing import NamedTuple


class Variant(NamedTuple):
    """Edits of a plan."""

    title: str
    edits: tuple[str, ...] = ()
    split: bool = True
    """Whether the sequence is split, where the plan has the option."""
