"""Boundaries of modules on two processes: hooks that the model has already lie inside, and a tensor
that is handed twice is brought over once and stays one."""

from __future__ import annotations

import pytest

from tests.rank_pool import run_on_ranks

REFUSED = {
    "a pre-hook that needs columns, columns shared": "L704",
    "a pre-hook that reads a size, columns shared": "L707",
    "a hook that needs columns, columns shared": "L704",
    "a pre-hook at a table": "L713",
    "a hook behind a bias that is added late": "L713",
}
RUN = {
    "a pre-hook that needs columns, rows shared": 2,
    "a hook that needs columns, rows shared": 2,
    "a hook at a table": 1,
    "a tensor handed twice": 4,
}
"""How many collectives one pass takes."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_hook_does_is_judged_inside_of_the_boundary(name: str) -> None:
    for found in run_on_ranks(2, "torch.apply.user_hooks:hooked_difference", name=name):
        assert found == {"refused": [REFUSED[name]], "reasons": []}


@pytest.mark.parametrize("name", RUN)
def test_it_does_as_the_whole_model(name: str) -> None:
    for found in run_on_ranks(2, "torch.apply.user_hooks:hooked_difference", name=name):
        assert found["off"] < 1e-5
        assert found["ran"] == RUN[name]
        assert not found["unforeseen"]


@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_are_each_parameters_own(passes: int) -> None:
    """Two parameters that are added at one place get the same tensor from the backward pass; what is added to
    one of them in place, or scaled, leaves the other as it is."""
    for found in run_on_ranks(2, "torch.apply.user_hooks:accumulated_gradients", passes=passes):
        assert max(found) < 1e-6
