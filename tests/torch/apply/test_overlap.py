"""`overlap: true` on two and four processes: products beside the gather of what they take do as the whole model."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks

SHAPES = [((8, 8), 0), ((1, 8, 8), 1), ((3, 8, 8), 1), ((2, 3, 4, 8), 2)]
"""Of what enters, and the dim that is gathered."""


@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("count", [2, 4])
def test_it_does_as_the_whole_model(count: int, shape: tuple[int, ...], dim: int) -> None:
    for found in run_on_ranks(
        count, "torch.apply.overlap:overlapped_passes", shape=shape, dim=dim, frozen=[]
    ):
        assert found["off"] < 1e-5
        assert (found["ran"], found["kept"], found["gradients"]) == (2, False, True)


@pytest.mark.parametrize(
    "frozen",
    [
        ["inner.gate.weight"],
        ["inner.gate.weight", "inner.gate.bias", "inner.up.weight"],
        ["inner.gate.bias", "enter.bias"],
    ],
)
def test_gradients_that_are_not_needed(frozen: list[str]) -> None:
    for found in run_on_ranks(
        2, "torch.apply.overlap:overlapped_passes", shape=(3, 8, 8), dim=1, frozen=frozen
    ):
        assert found["off"] < 1e-5
        assert (found["ran"], found["gradients"]) == (2, True)


@pytest.mark.parametrize("way", ["small", "seen", "autocast"])
def test_where_it_is_not_done(way: str) -> None:
    """Small tensors, operations that somebody looks on at, and types that a product changes."""
    for found in run_on_ranks(
        2, "torch.apply.overlap:overlapped_passes", shape=(3, 8, 8), dim=1, frozen=[], way=way
    ):
        assert found["off"] < (0.05 if way == "autocast" else 1e-5)
        assert (found["ran"], found["kept"]) == (0, False)


def test_a_layer_that_is_not_called() -> None:
    """It is not one of those that the graph names, and has no gradient."""
    for found in run_on_ranks(
        2, "torch.apply.overlap:overlapped_passes", shape=(3, 8, 8), dim=1, frozen=[], way="skips"
    ):
        assert found["off"] < 1e-5
        assert (found["ran"], found["kept"], found["gradients"]) == (2, False, True)
