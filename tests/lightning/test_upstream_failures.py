"""Each thing that fails or misleads in Lightning's own strategy, under a plan. docs/lightning.md
has the same list, and what cannot be mended."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning")

from tests.rank_pool import run_on_ranks

NEAR = 1e-5


# ---- random numbers and batches ------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "seeded"), [(0, False), (1, True)], ids=["no seed, a stream", "seeded workers"]
)
def test_a_tensor_group_draws_the_same(workers: int, seeded: bool) -> None:
    for found in run_on_ranks(4, "lightning.upstream_failures:rng_streams", workers=workers, seeded_=seeded):
        assert found["weights"]
        assert found["in groups"] == [True, True]
        assert found["batches between"] == [True, True]


def test_a_stream_that_data_ranks_repeat() -> None:
    first, *_ = run_on_ranks(4, "lightning.upstream_failures:repeated_stream")
    assert len(first) == 1
    assert "same" in first[0]


def test_other_batches_in_a_tensor_group() -> None:
    found = run_on_ranks(4, "lightning.upstream_failures:diverging_batches")
    assert all("batch" in one["stopped"] for one in found)
    assert [bool(one["message"]) for one in found] == [True, False, False, False]
    assert found[0]["message"].count("planc: nothing was changed") <= 1


# ---- steps ---------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "by"), [("foreach", "norm"), ("fused", "value"), ("sgd", "norm")])
def test_steps_on_plain_and_split_parameters(optimizer: str, by: str) -> None:
    for found in run_on_ranks(2, "lightning.upstream_failures:clipped_gradients", optimizer=optimizer, by=by):
        assert found["plain"]
        assert found["split"]
        assert found["clipped"]
        assert found["named"]
        for what in ("losses", "weights", "gain", "norms"):
            assert found[what] < NEAR, what


def test_accumulation_reduces_once_a_step() -> None:
    """One unit of FSDP, three steps."""
    for found in run_on_ranks(4, "lightning.upstream_failures:accumulated_gradients"):
        assert found["reduced"] == 3
        assert found["weights"] < NEAR


def test_split_numbers_in_a_log() -> None:
    for found in run_on_ranks(4, "lightning.upstream_failures:logged_metrics"):
        assert found["plain"]
        assert found["split"] == pytest.approx(found["whole"], abs=1e-5)
        # Two groups of two samples: a tensor group's are counted once.
        assert found["samples"] == 4


def test_what_is_refused() -> None:
    for found in run_on_ranks(4, "lightning.upstream_failures:unsupported_trainer_parts"):
        assert "EMAWeightAveraging copies the model" in found["averaging"][0]
        assert "AsyncCheckpointIO would be ignored" in found["checkpoint io"][0]
        assert "params: bf16" in found["precision"][0]
        assert all(unchanged for _, unchanged in found.values())


# ---- models and checkpoints ------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_from_the_meta_device(tied: bool) -> None:
    """RMSNorm, rotary buffers and ties: the losses of the unsplit model of the same seed."""
    for found in run_on_ranks(4, "lightning.upstream_model_failures:from_meta", family="llama", tied=tied):
        assert found["losses"] < NEAR
        assert found["after test"]
        assert found["tied"] == tied
        assert not found["warned"]
        assert found["lives"]


@pytest.mark.parametrize(
    ("kind", "count", "sharded"),
    [("sgd", 4, True), ("wrapped", 4, True), ("wrapped", 4, False), ("compiled", 4, False),
     ("compiled", 4, True), ("plain", 1, True), ("plain", 1, False)],
)  # fmt: skip
def test_it_resumes(kind: str, count: int, sharded: bool, tmp_path: Path) -> None:
    for found in run_on_ranks(
        count,
        "lightning.upstream_model_failures:variant_models",
        kind=kind,
        folder=str(tmp_path),
        sharded=sharded,
    ):
        assert found["steps"] == 4
        assert bool(found["split"]) == (count > 1)
        assert found["losses"] < NEAR
        assert found["weights"] < NEAR


@pytest.mark.parametrize("sharded", [True, False], ids=["shards", "full"])
def test_checkpoints_that_fit_in_part(sharded: bool, tmp_path: Path) -> None:
    for rank, found in enumerate(
        run_on_ranks(
            2, "lightning.upstream_model_failures:partial_checkpoints", folder=str(tmp_path), sharded=sharded
        )
    ):
        assert "body.down.bias" in found["strict"]
        assert found["loose"] == found["weights alone"] == ""
        assert found["loaded"]
        if rank == 0:
            assert "body.down.bias" in " ".join(found["notes"][0])
            assert "no states of optimizers" in " ".join(found["notes"][1])


def test_the_policy_of_a_plan() -> None:
    for found in run_on_ranks(4, "lightning.upstream_model_failures:cpu_offload"):
        assert found["computed"] == "torch.bfloat16"
        assert found["weights"] == ["torch.float32"]
        assert found["policies"]
        assert all("CPUOffloadPolicy" in policy for policy in found["policies"])


def test_the_precision_of_a_trainer() -> None:
    for found in run_on_ranks(4, "lightning.upstream_model_failures:precisions"):
        assert found == {
            "32-true": ["torch.float32", "torch.float32"],
            "bf16-true": ["torch.bfloat16", "torch.bfloat16"],
            "bf16-mixed": ["torch.float32", "torch.bfloat16"],
        }


def test_urls() -> None:
    (found,) = run_on_ranks(1, "lightning.upstream_model_failures:url_checkpoint")
    assert found == {"off": 0, "local": False}


def test_no_shard_of_an_earlier_save_stays(tmp_path: Path) -> None:
    many, *_ = run_on_ranks(4, "lightning.upstream_model_failures:stale_shards", folder=str(tmp_path))
    (one,) = run_on_ranks(1, "lightning.upstream_model_failures:stale_shards", folder=str(tmp_path))
    assert len(many["shards"]) == 4
    assert len(one["shards"]) == 1


def test_the_callback_of_the_page() -> None:
    assert all(
        found["off"] < NEAR for found in run_on_ranks(4, "lightning.upstream_model_failures:weight_averaging")
    )
