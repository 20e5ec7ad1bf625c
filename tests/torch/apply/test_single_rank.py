"""An axis of one rank: planc adds nothing, and the model computes as it did, to the last bit."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks


# A loss on split logits; tied weights, dropout, and biases that are added late; fused projections.
@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3"])
@pytest.mark.parametrize("sizes", [{"dp": 1, "tp": 1}, {"pod": 1, "dp": 1, "tp": 1}], ids=str)
def test_one_rank_leaves_the_model_as_it_is(name: str, sizes: dict[str, int]) -> None:
    """No object of the model is another one: hooks, forwards, classes, parameters."""
    found = run_on_ranks(1, "torch.apply.single_rank:changes_left", name=name, sizes=sizes)
    assert found == [{"changed": [], "keys": True, "differs": []}]


@pytest.mark.parametrize(
    ("sizes", "axes", "splits"),
    [({"dp": 2, "tp": 1}, ["dp"], False), ({"dp": 1, "tp": 2}, ["tp"], True)],
    ids=["tensor axis of one", "fsdp axis of one"],
)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_axis_of_one_beside_one_of_two(
    name: str, sizes: dict[str, int], axes: list[str], splits: bool
) -> None:
    """Only what the other axis needs is there: FSDP alone, or the tensor axis alone."""
    for found in run_on_ranks(2, "torch.apply.single_rank:axes_in_use", name=name, sizes=sizes):
        assert found == {
            "axes": axes, "plain": 0, "fsdp": not splits, "forward": splits, "hooks": splits,
        }  # fmt: skip
