"""Accepted violations and mean losses, applied: the numbers of two ranks."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks


def test_an_accepted_batch_norm_trains_as_ddp_trains_it() -> None:
    first, second = run_on_ranks(2, "torch.apply.accepted:train_batch_norm")
    assert max(first["error"], second["error"]) < 1e-5
    assert first["said"] == [
        "planc: accepted L709 at norm: statistics of each rank's own batch, as DDP has them"
    ]
    assert second["said"] == []


def test_a_mean_loss_has_the_gradients_of_the_whole_batch() -> None:
    for found in run_on_ranks(2, "torch.apply.accepted:train_mean_loss"):
        assert found["error"] < 1e-5
        assert found["loss"] < 1e-6 < 1e-3 < found["differs"]
        assert "'targets' has entries that are -100" in found["refusal"]


def test_the_strategy_says_once_what_a_plan_accepts() -> None:
    pytest.importorskip("lightning")
    first, second = run_on_ranks(2, "lightning.accepted_norm:setup_twice")
    assert first == ["planc: accepted L709 at 1: statistics of each rank's own batch"]
    assert second == []
