"""Functions that the model's own code gives to `torch.utils.checkpoint`: they run again in the backward pass, with the
numbers of the unsplit model."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from planc.ir.graph import ModelGraph, Op  # noqa: E402
from planc.torch.capture.trace import CaptureTarget, trace  # noqa: E402
from tests.rank_pool import run_on_ranks  # noqa: E402
from tests.torch.apply.ranks.own_checkpoints import (  # noqa: E402
    BATCH,
    LENGTH,
    MODELS,
    PLANS,
    Net,
    lookup_without_gradient,
    plain,
    plain_block,
)

OF_THE_MODEL = [name for name in MODELS if name.startswith("a function of the model")]
"""They use a parameter of the model with what a sequence plan splits, which no rule of it can say."""
AS_PLAIN = [name for name in MODELS if name.startswith(("a method", "modules", "segments", "a lookup, not"))]
"""Models that compute what the plain one does."""


@pytest.mark.parametrize("plan", PLANS)
def test_numbers(plan: str) -> None:
    names = [name for name in MODELS if plan != "sequence" or name not in OF_THE_MODEL]
    ranks = prod(PLANS[plan][0].values())
    errors = run_on_ranks(ranks, "torch.apply.own_checkpoints:worst_errors", names=names, plan=plan)[0]
    assert errors.keys() == set(names)
    assert {name: error for name, error in errors.items() if error > 1e-10} == {}


@pytest.mark.parametrize("plan", ["split", "sequence"])
def test_dropout_draws_the_same_numbers_again(plan: str) -> None:
    errors = run_on_ranks(2, "torch.apply.own_checkpoints:dropout_errors", names=AS_PLAIN, plan=plan)[0]
    assert {name: error for name, error in errors.items() if error > 1e-10} == {}


@pytest.mark.parametrize("name", AS_PLAIN)
def test_the_graph_is_that_of_the_code_without_checkpoints(name: str) -> None:
    assert _graph(MODELS[name]()).functions == _graph(Net(plain_block, plain)).functions


def test_a_reentrant_checkpoint_without_gradients() -> None:
    """torch computes no gradient if no argument has one."""
    main = _graph(Net(plain_block, lookup_without_gradient)).main_function
    first = next(step for step in main.steps if isinstance(step, Op) and step.name == "sigmoid")
    assert not main.tensors[first.results[0]].grad


def _graph(model: Any) -> ModelGraph:
    ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    return trace(CaptureTarget("own", model, (ids,), {}, {}, {"torch": "2"}))
