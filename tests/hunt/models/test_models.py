"""Both judges on mutated models: a subset of the hunt (`make hunt`), with a seed of its own."""

from __future__ import annotations

import pytest

from tests.hunt.models.model_table import ModelTable, faults_in
from tests.hunt.models.mutation_table import mutations
from tests.rank_pool import call_in_fork

SEED = 12
CHUNKS = 2
NUMBERS = (4, 6)
"""Of the models of each base: one on a tensor axis, one on a data axis."""
BASES = ("decoder", "fused", "gated", "head_norm", "shared", "tied", "experts", "llama", "bert", "gpt2")
"""Those of the subset: a model of transformers takes a second to build."""
BLIND_SEED = 11
BLIND = {
    "L714": ("decoder", ("buffer-count",), (5, 7)),
    "L715": ("decoder", ("child-weight", "helper-method", "tied-head"), (11,)),
    "L716": ("decoder", ("auxiliary-loss", "helper-method", "view-of-parameter"), (10,)),
}
"""By law: models whose faults that law alone finds."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_wrong_model_is_called_right(chunk: int) -> None:
    given = [
        {"base": name, "seed": SEED, "models": [NUMBERS[index // CHUNKS % 2]], "settings": [0, 1, 2]}
        for index, name in enumerate(BASES)
        if index % CHUNKS == chunk
    ]
    table = ModelTable(call_in_fork("tests.hunt.worker:judge_jobs", seconds=600, jobs=given))
    assert not table.unsound(), "\n".join(faults_in(table, 0, 0))
    # Neither judge says the same of all.
    assert {found["numbers"] for found in table.mutants} >= {"right", "wrong"}
    assert len(table.mutants) > len(given)


@pytest.mark.parametrize("law", BLIND)
def test_a_checker_blind_to_a_law_is_caught(law: str) -> None:
    base, kinds, numbers = BLIND[law]
    jobs = [{"base": base, "seed": BLIND_SEED, "models": numbers, "kinds": kinds, "settings": [0, 1, 2]}]
    for ignored in ([], [law]):
        found = call_in_fork("tests.hunt.worker:judge_jobs", seconds=300, jobs=jobs, ignored_laws=ignored)
        assert bool(ModelTable(found).unsound()) == bool(ignored)


def test_every_mutation_changes_some_model() -> None:
    found = call_in_fork("tests.hunt.models.random_mutations:effects", base="decoder", seed=SEED)
    assert all(found.values())
    assert len(found) == len(mutations())
