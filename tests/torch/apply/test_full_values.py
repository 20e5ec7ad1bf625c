"""`planc.full` gives the tensors of the unsplit model: of parameters, gradients and results, packed ones too."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks


def test_full_tensors_are_those_of_the_unsplit_model() -> None:
    for found in run_on_ranks(2, "torch.apply.full_values:differences"):
        assert len(found) == 13
        assert {name: off for name, off in found.items() if off > 1e-5} == {}
