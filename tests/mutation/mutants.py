"""Neighbours of a plan, drawn with a seed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from planc.ir.graph import ModelGraph
from planc.ir.plan import Plan
from planc.syntax.unparse import unparse
from tests.mutation.changes import CHANGES
from tests.mutation.module_names import ModuleNames
from tests.mutation.records import Change, Mutant, MutationOperator

TWO_CHANGES_SHARE = 0.35
"""Of the mutants, the share that is changed two times."""
MAX_FAILED_DRAWS = 2_000
"""Draws in a row that may give nothing new, until a plan has no more neighbours."""


def mutants(plan: Plan, graph: ModelGraph, seed: int, *, count: int | None = None) -> Iterator[Mutant]:
    """Neighbours of a plan, right and wrong ones; their texts are distinct, and none is the plan's own.

    The mutant of a number depends on the plan, the graph and the seed alone, not on how many are asked for.

    Args:
        plan: what is changed. Of a plan that extends another one, `tests.mutation.flatten_extends` gives all that it says.
        graph: the model, whose names the new rules take.
        seed: of the draws.
        count: how many; by default all that are found, which hardly ever ends.
    """
    names, chance = ModuleNames(graph), Random(seed)
    seen = {unparse(plan)}
    number, waiting = 0, MAX_FAILED_DRAWS
    while waiting and (count is None or number < count):
        waiting -= 1
        found = _mutate(plan, names, chance)
        if found is None or (text := unparse(found[0])) in seen:
            continue
        seen.add(text)
        yield Mutant(*found, number)
        number, waiting = number + 1, MAX_FAILED_DRAWS


def _mutate(plan: Plan, names: ModuleNames, rng: Random) -> tuple[Plan, tuple[Change, ...]] | None:
    """A plan after one change, or after two."""
    changes: list[Change] = []
    for _ in range(2 if rng.random() < TWO_CHANGES_SHARE else 1):
        kind = sample_operator(rng)
        made = kind.apply(plan, names, rng)
        if made is None:
            return None
        plan, says = made
        changes.append(Change(kind.name, says))
    return plan, tuple(changes)


_WEIGHTS = [kind.weight for kind in CHANGES]


def sample_operator(rng: Random) -> MutationOperator:
    """A row of the table, by the weights."""
    return rng.choices(CHANGES, _WEIGHTS)[0]
