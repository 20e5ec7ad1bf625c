"""Every way in which people spell the loss on split logits, and what else they compute from them."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.vocab_parallel_spellings import FAMILIES


@pytest.mark.parametrize("count", [2, 4])
def test_values_and_gradients_are_those_of_whole_logits(count: int) -> None:
    for found in run_on_ranks(count, "torch.apply.vocab_parallel_spellings:compare"):
        assert len(found) == sum(map(len, FAMILIES.values()))
        wrong = {
            name: errors
            for name, errors in found.items()
            if max(errors) > (1e-6 if "float32" in name or "of a dtype" in name else 1e-12)
        }
        assert not wrong


@pytest.mark.parametrize("autocast", [False, True])
def test_log_probabilities_in_bfloat16(autocast: bool) -> None:
    """The dtypes are compared too."""
    for found in run_on_ranks(
        2,
        "torch.apply.vocab_parallel_spellings:compare",
        dtype="bfloat16",
        autocast=autocast,
        family="probability",
    ):
        assert len(found) == len(FAMILIES["probability"])
        assert not {name: errors for name, errors in found.items() if max(errors) > 2**-5}
