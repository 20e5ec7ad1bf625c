"""What a boundary gives is a tensor like any other: of any dtype and strides, and changed in place."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.boundary_values import MODELS


@pytest.mark.parametrize(("count", "observed"), [(2, True), (4, False)])
def test_changes_of_layout_for_every_dtype_and_strides(count: int, observed: bool) -> None:
    """Values and gradients, in eager code and under a dispatch mode, and what is changed in place afterwards."""
    for found in run_on_ranks(count, "torch.apply.changed_in_place:wrong_changes", observed=observed):
        assert found == []


@pytest.mark.parametrize("name", MODELS)
def test_models_that_change_in_place(name: str) -> None:
    for found in run_on_ranks(2, "torch.apply.boundary_values:errors_of", name=name):
        assert max(found) < 1e-12
