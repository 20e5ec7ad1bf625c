"""Ranks that begin with other weights are told so before anything is split, or get the first rank's."""

from __future__ import annotations

import pytest
import torch

import planc
from tests.rank_pool import run_on_ranks

CASE = "torch.apply.initial_weights:begin"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "seeds",
            "other weights than rank 0: 'embed.weight' on ranks 1, 2, 3; 'blocks.0.up.weight' on ranks 1, 2, 3; "
            "'blocks.0.up.bias' on ranks 1, 2, 3; 8 more tensors",
        ),
        ("buffer", "'scale' on rank 3. needed: the same weights"),
        ("bits", "'last' on rank 3. needed"),
        ("frozen", "rank 0 has 'last: float32 [7]' where rank 3 has 'last: float32 [7] frozen'"),
        ("dtype", "rank 0 has 'last: float32 [7]' where rank 3 has 'last: float64 [7]'"),
    ],
)  # fmt: skip
def test_a_difference_stops_all_ranks(case: str, message: str) -> None:
    first, *others = run_on_ranks(4, CASE, case=case, sync="check")
    assert len(first["reasons"]) == 1
    assert message in first["reasons"][0]
    assert first["changed"] == []
    assert others == [first] * 3


@pytest.mark.parametrize("case", ["seeds", "buffer"])
def test_the_first_rank_s_weights_are_copied(case: str) -> None:
    for found in run_on_ranks(4, CASE, case=case, sync="broadcast"):
        assert found == {"reasons": [], "wrong": []}


@pytest.mark.parametrize(("case", "sync"), [("equal", "check"), ("meta", "check"), ("seeds", None)])
def test_what_is_not_compared(case: str, sync: str | None) -> None:
    for found in run_on_ranks(4, CASE, case=case, sync=sync):
        assert found["reasons"] == []
        assert bool(found["wrong"]) == (case == "seeds")


def test_the_ranks_of_a_mesh_alone_are_compared() -> None:
    """Ranks 0 and 1 have a model, ranks 2 and 3 have another, and rank 3 another again."""
    found = run_on_ranks(4, CASE, case="pairs", sync="check")
    assert [bool(each["reasons"]) for each in found] == [False, False, True, True]
    assert "other weights than rank 2: 'last' on rank 3" in found[2]["reasons"][0]


def test_where_one_rank_cannot_go_on_none_does() -> None:
    found = run_on_ranks(4, "torch.apply.initial_weights:one_rank_fails")
    for rank in (0, 1, 3):
        assert found[rank][0] == "True"
        assert "rank 2 cannot go on" in found[rank][1]
    assert found[2][0] != "nothing"
    assert "cannot go on" not in found[2][1]


def test_one_seed_for_a_model_on_the_meta_device() -> None:
    for seed, message in ((6, "rank 0 has 5 where rank 3 has 6"), (None, "has None"), (5, "nothing")):
        found = run_on_ranks(4, "torch.apply.initial_weights:other_seed", rank=3, seed=seed)
        assert message in found[0]
        assert found == [found[0]] * 4


def test_no_such_word() -> None:
    with pytest.raises(ValueError, match="sync='send': needed: 'check', 'broadcast' or None"):
        planc.parallelize(torch.nn.Identity(), "llama", None, sync="send")  # type: ignore[arg-type]
