"""Each thing that fails or misleads in Lightning's own strategy, under a plan. docs/lightning.md
has the same list, and what cannot be mended."""

from __future__ import annotations

import pytest

pytest.importorskip("lightning")

from tests.lightning.ranks import Ranks, shared

NEAR = 1e-5


@pytest.fixture(scope="session")
def ranks() -> Ranks:
    return shared()


# ---- random numbers and batches ------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "seeded"), [(0, False), (1, True)], ids=["no seed, a stream", "seeded workers"]
)
def test_a_tensor_group_draws_the_same(workers: int, seeded: bool, ranks: Ranks) -> None:
    for found in ranks.ask(4, "failures:chance", workers=workers, seeded_=seeded):
        assert found["weights"]
        assert found["in groups"] == [True, True]
        assert found["batches between"] == [True, True]


def test_a_stream_that_data_ranks_repeat(ranks: Ranks) -> None:
    first, *_ = ranks.ask(4, "failures:repeated")
    assert len(first) == 1
    assert "same" in first[0]


def test_other_batches_in_a_tensor_group(ranks: Ranks) -> None:
    found = ranks.ask(4, "failures:torn")
    assert all("batch" in one["stopped"] for one in found)
    assert [bool(one["said"]) for one in found] == [True, False, False, False]
    assert found[0]["said"].count("planc: nothing was changed") <= 1


# ---- steps ---------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "by"), [("foreach", "norm"), ("fused", "value"), ("sgd", "norm")])
def test_steps_on_plain_and_split_parameters(optimizer: str, by: str, ranks: Ranks) -> None:
    for found in ranks.ask(2, "failures:clipped", optimizer=optimizer, by=by):
        assert found["plain"]
        assert found["split"]
        assert found["clipped"]
        assert found["named"]
        for what in ("losses", "weights", "gain", "norms"):
            assert found[what] < NEAR, what


def test_accumulation_reduces_once_a_step(ranks: Ranks) -> None:
    """One unit of FSDP, three steps."""
    for found in ranks.ask(4, "failures:accumulated"):
        assert found["reduced"] == 3
        assert found["weights"] < NEAR


def test_split_numbers_in_a_log(ranks: Ranks) -> None:
    for found in ranks.ask(4, "failures:logged"):
        assert found["plain"]
        assert found["split"] == pytest.approx(found["whole"], abs=1e-5)
        # Two groups of two samples: a tensor group's are counted once.
        assert found["samples"] == 4


def test_what_is_refused(ranks: Ranks) -> None:
    for found in ranks.ask(4, "failures:refused"):
        assert "EMAWeightAveraging copies the model" in found["averaging"][0]
        assert "AsyncCheckpointIO would be ignored" in found["checkpoint io"][0]
        assert "params: bf16" in found["precision"][0]
        assert all(unchanged for _, unchanged in found.values())
