"""The step of training on models that are split, or partly split, on processes: `tests/torch/train/ranks` runs
on each rank; what is needed comes from the unsplit model, or from torch on whole tensors."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks

FOUR = ({"dp": 2, "tp": 2}, {"dp": 4}, {"pod": 2, "dp": 2})
TWO = {"tp": 2}


def run_on_mesh(case: str, sizes: dict[str, int], **given: Any) -> list[Any]:
    return run_on_ranks(math.prod(sizes.values()), f"torch.train.{case}", sizes=sizes, **given)


def close(wrong: dict[str, float], limit: float = 1e-5) -> None:
    assert wrong
    assert {what: n for what, n in wrong.items() if not n < limit} == {}


@pytest.mark.parametrize("sizes", [*FOUR, TWO], ids=str)
def test_clipping_of_a_partly_split_model(sizes: dict[str, int]) -> None:
    for found in run_on_mesh("grad_norms:partly_split_norms", sizes):
        close(found["wrong"])
        assert found["same"], "the ranks have different norms"
        assert found["sent"] == ["all_reduce"]


def test_norms_of_every_kind_of_gradient() -> None:
    for found in run_on_ranks(4, "torch.train.grad_norms:norms_of_every_kind"):
        close(found["wrong"])
        assert found["half"] == 600
        assert found["none"] == 0


def test_a_norm_that_is_not_finite() -> None:
    for found in run_on_ranks(4, "torch.train.grad_norms:nonfinite_gradients", where=3):
        assert "of the gradients is inf: they cannot be clipped" in found["message"]
        assert found["same"]
        assert found["norm"] == math.inf


@pytest.mark.parametrize("sizes", [{"dp": 2, "tp": 2}, TWO], ids=str)
def test_steps_of_optimizers_on_a_mix(sizes: dict[str, int]) -> None:
    for found in run_on_mesh("steps:optimizer_steps", sizes):
        close(found["wrong"])
        assert found["note"]["same"], "the groups are others after an error"
        assert ["Adafactor" in message and "AdamW" in message for message in found["note"]["message"]] == [
            True
        ]
        assert found["counted"] == [2, 2]


@pytest.mark.parametrize(("fused", "where"), [(False, 3), (True, 1)])
def test_an_infinite_entry_on_one_rank_skips_the_step_on_all(fused: bool, where: int) -> None:
    sizes = {"dp": 2, "tp": 2}
    for found in run_on_ranks(4, "torch.train.steps:scaled_steps", sizes=sizes, fused=fused, where=where):
        assert found["skipped"]
        assert found["scales"] == [4, 8]
        close(found["wrong"])


def test_half_precision_gradients_are_not_unscaled() -> None:
    assert "needed: parameters in float32" in run_on_ranks(4, "torch.train.steps:unscale_half")[0]


@pytest.mark.parametrize("sizes", [*FOUR, None], ids=str)
def test_micro_batches_reduce_once(sizes: dict[str, int] | None) -> None:
    for found in run_on_ranks(4, "torch.train.steps:accumulated_steps", sizes=sizes):
        assert found["once"] > 0
        assert found["found"] == [0, 0, found["once"]]
        assert found["after"] == found["once"]
        close(found["wrong"])


def test_random_numbers_of_a_tensor_group() -> None:
    assert run_on_ranks(4, "torch.train.tensor_groups:rng_agrees") == [True] * 4


@pytest.mark.parametrize(
    ("name", "error", "warning"),
    [
        ("right", "", ""),
        ("one tensor", "", ""),
        ("sets and objects", "", ""),
        ("another entry", "ranks 0 and 1 share a tensor group, and their batches differ in batch['x'][1][0]: int64 [3, 4], with", ""),
        ("another entry in one group", "ranks 2 and 3 share a tensor group, and their batches differ in batch.ids: int64", ""),
        ("another shape", "batch['ids']: int64 [3, 4] and int64 [2, 4]", ""),
        ("another type", "batch[0]: int64 [3, 4] and int32 [3, 4]", ""),
        ("another structure", "batch (a list): 1 items and 2 items", ""),
        ("no tensor", "batch: int64 [3, 4] and None", ""),
        ("another key", "batch (a dict): keys ['a'] and keys ['b']", ""),
        ("another text", "batch[1]: 'a' and 'b'", ""),
        ("a nested tensor", "batch: nested: float32 [2], float32 [3], with other values", ""),
        ("an array", "batch: int64 [5000], with other values", ""),
        ("the same everywhere", "", "data ranks 0 and 1 (ranks 0, 1 and 2, 3) have the same batch"),
        ("nothing in it", "", ""),
    ],
)  # fmt: skip
def test_batches(name: str, error: str, warning: str) -> None:
    for found in run_on_ranks(4, "torch.train.tensor_groups:check_batches", name=name):
        for message, needed in ((found["error"], error), (found["warning"], warning)):
            assert needed in message if needed else message is None
        assert found["same"]
        assert error or found["sent"] == 1


def test_a_mesh_that_batches_cannot_be_compared_over() -> None:
    assert (
        "a mesh of 1 axes and 4 ranks: needed: two axes"
        in run_on_ranks(4, "torch.train.tensor_groups:invalid_mesh")[0]
    )


def test_models_of_other_seeds_become_the_same() -> None:
    for found in run_on_ranks(4, "torch.train.tensor_groups:sync_models"):
        assert found["wrong"] == []
        assert found["resynced"] == []
        assert found["sent"] == 1
        # What every seed begins with, what has no numbers, and what is split.
        assert {name.rpartition(".")[2] for name in found["kept"]} == {"weight", "bias", "later", "split"}
        assert all("norm" in name for name in found["kept"] if name not in ("later", "split"))
        assert found["one"] == ["head.bias"]


def test_models_that_are_not_the_same() -> None:
    for message in run_on_ranks(4, "torch.train.tensor_groups:mismatched_models"):
        assert "rank 0 has '1.weight: float32 [3, 3]' where rank 3 has '1.weight: float32 [4, 3]'" in message
