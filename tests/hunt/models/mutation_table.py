"""The kinds of changes of models, a row each: `@mutation(NAME)` makes one of a function."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from random import Random

from tests.hunt.models.edits import Target

Mutation = Callable[[Target], str | None]
"""It changes a module in place, and returns a line that says what the code does; None: this module has nothing to
change, and is as it was."""
FILES = (
    "buffers",
    "in_place",
    "parameters",
    "checkpoints",
    "memos",
    "sizes",
    "results",
    "boundaries",
    "flow",
)
_rows: dict[str, tuple[Mutation, float]] = {}


def mutation(name: str, share: float = 1.0) -> Callable[[Mutation], Mutation]:
    """Make a function a row.

    Args:
        share: how often it is drawn, where others are drawn once: less where planc proves nothing on purpose.
    """

    def add(function: Mutation) -> Mutation:
        assert name not in _rows, f"two mutations are named {name}"
        _rows[name] = function, share
        return function

    return add


def draw_mutation(rng: Random, kinds: tuple[str, ...] = ()) -> tuple[str, Mutation]:
    """A row with its name, of these where any are named."""
    rows = {name: row for name, row in mutations().items() if not kinds or name in kinds}
    name = rng.choices(list(rows), [share for _, share in rows.values()])[0]
    return name, rows[name][0]


@cache
def mutations() -> dict[str, tuple[Mutation, float]]:
    """All rows with their shares, by name."""
    for file in FILES:
        import_module(f"tests.hunt.models.mutations.{file}")
    return dict(sorted(_rows.items()))
