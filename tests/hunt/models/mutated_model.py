"""A mutated model: it depends on the base, the seed, its number and the batch alone, so that every process makes the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from torch import nn

from tests.hunt.models.edits import Target
from tests.hunt.models.model_bases import model_base, shapes_in
from tests.hunt.models.mutation_table import draw_mutation
from tests.hunt.models.shapes import Shapes

SHARE_OF_NONE, SHARE_OF_TWO = 0.03, 0.3
"""Of the models, the share without a mutation, and that with two."""
SHARE_WITH_CHILDREN = 0.6
TRIES = 12
BATCHES = (1, 4)
"""Rows on each data rank."""
DATA_RANKS = (1, 2)


@dataclass(frozen=True)
class Key:
    """What a mutated model is made of."""

    base: str
    seed: int
    number: int
    kinds: tuple[str, ...] = ()
    """Mutations that are drawn from; all of them where none is named."""
    without: tuple[int, ...] = ()
    """Mutations that are left out: a finding is shrunk so."""

    @property
    def data_ranks(self) -> int:
        """How many ranks share the batch, under all settings of this model."""
        return DATA_RANKS[self.number // len(BATCHES) % len(DATA_RANKS)]

    @property
    def rows(self) -> int:
        """The rows of the whole batch. Models of transformers ask whether there is one row alone."""
        rows = BATCHES[self.number % len(BATCHES)]
        if self.data_ranks > 1 and model_base(self.base).subject.config is not None:
            rows = max(rows, 2)
        return rows * self.data_ranks


@dataclass(frozen=True)
class MutatedModel:
    """A model, and what was changed: kinds, and a line for each."""

    model: nn.Module
    changes: tuple[tuple[str, str], ...]


def mutated_model(key: Key) -> MutatedModel:
    """Make the model of a key."""
    model, shapes = model_base(key.base).model(), shapes_in(key.base, key.rows)
    draw = Random(f"{key.base}:{key.seed}:{key.number}")
    share = draw.random()
    count = 0 if share < SHARE_OF_NONE and not key.kinds else 2 if share > 1 - SHARE_OF_TWO else 1
    changes: dict[str, str] = {}
    for index in range(count):
        if index not in key.without:
            changes |= _mutate(model, shapes, key, index, changes)
    return MutatedModel(model, tuple(changes.items()))


def _mutate(model: nn.Module, shapes: Shapes, key: Key, index: int, known: Collection[str]) -> dict[str, str]:
    """One more mutation, of a kind that the model does not have: the kind, and its line."""
    names = list(shapes.calls)
    inner = [name for name in names if any(True for _ in model.get_submodule(name).children())]
    rng = Random(f"{key.base}:{key.seed}:{key.number}:{index}")
    for _ in range(TRIES):
        kind, change = draw_mutation(rng, key.kinds)
        if kind in known:
            continue
        for _ in range(TRIES):
            # Users write modules with children; few write their own kinds of Linear.
            places = inner if inner and rng.random() < SHARE_WITH_CHILDREN else names
            line = change(target := Target(model, rng.choice(places), rng, shapes))
            if line is not None:
                return {kind: f"{target.label}: {line}"}
    return {}
