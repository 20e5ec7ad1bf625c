"""Neighbours of a plan, drawn with a seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.mutate.changes import CHANGES
from planc.mutate.names import Names
from planc.mutate.records import Change, Kind, Mutant
from planc.text.write import write

TWICE = 0.35
"""Of the mutants, the share that is changed two times."""
PATIENCE = 2_000
"""Draws in a row that may give nothing new, until a plan has no more neighbours."""


def mutants(plan: Plan, graph: ModelGraph, seed: int, *, count: int | None = None) -> Iterator[Mutant]:
    """Neighbours of a plan, right and wrong ones; their texts are distinct, and none is the plan's own.

    The mutant of a number depends on the plan, the graph and the seed alone, not on how many are asked for.

    Args:
        plan: what is changed. Of a plan that extends another one, `planc.mutate.whole` gives all that it says.
        graph: the model, whose names the new rules take.
        seed: of the draws.
        count: how many; by default all that are found, which hardly ever ends.
    """
    names, chance = Names(graph), Random(seed)  # noqa: S311 - nothing is secret here
    seen = {write(plan)}
    number, waiting = 0, PATIENCE
    while waiting and (count is None or number < count):
        waiting -= 1
        found = _drawn(plan, names, chance)
        if found is None or (text := write(found[0])) in seen:
            continue
        seen.add(text)
        yield Mutant(*found, number)
        number, waiting = number + 1, PATIENCE


def _drawn(plan: Plan, names: Names, chance: Random) -> tuple[Plan, tuple[Change, ...]] | None:
    """A plan after one change, or after two."""
    changes: list[Change] = []
    for _ in range(2 if chance.random() < TWICE else 1):
        kind = draw_kind(chance)
        made = kind.make(plan, names, chance)
        if made is None:
            return None
        plan, says = made
        changes.append(Change(kind.name, says))
    return plan, tuple(changes)


_WEIGHTS = [kind.weight for kind in CHANGES]


def draw_kind(chance: Random) -> Kind:
    """A row of the table, by the weights."""
    return chance.choices(CHANGES, _WEIGHTS)[0]
