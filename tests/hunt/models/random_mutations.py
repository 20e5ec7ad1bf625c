"""What mutations make of a base, for tests in a process of their own."""

from __future__ import annotations

import torch

from tests.hunt.models.model_bases import model_base
from tests.hunt.models.mutated_model import Key, mutated_model
from tests.hunt.models.mutation_table import mutations


def effects(base: str, seed: int) -> dict[str, bool]:
    """By kind, whether a model with such a mutation runs, and is the same when it is made again; a kind that changes no
    module of the base is missing."""
    found = {}
    for kind in mutations():
        key = Key(base, seed, 0, (kind,))
        made, again = mutated_model(key), mutated_model(key)
        if made.changes:
            args, kwargs = model_base(base).call(key.rows, 0)
            torch.manual_seed(0)
            first = made.model(*args, **kwargs)
            torch.manual_seed(0)
            second = again.model(*args, **kwargs)
            found[kind] = made.changes == again.changes and type(first) is type(second)
    return found
