"""What a model is run on: random data, of several shapes. A row of `RUNS` for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from planc.ir.record import Record
from planc.torch.models.default_inputs import sequence_length as longest
from planc.torch.verify.random_inputs import InputGenerator

ROWS_PER_RANK = 4
"""Rows of the batch on each data rank."""


class Scenario(Record):
    """What a model is called with: the batch of all data ranks together."""

    name: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    may_raise: bool = False
    """Whether a plan need not take it: it may raise a clear error, and has to be right otherwise."""


MakeScenario = Callable[[InputGenerator], Scenario | None]


def _plain(maker: InputGenerator) -> Scenario:
    if maker.config is None:
        return Scenario("plain", maker.arguments, dict(maker.keywords))
    return Scenario(
        "plain",
        *maker.make_inputs(
            ROWS_PER_RANK * maker.data_ranks, min(maker.sequence_length, longest(maker.config))
        ),
    )


def _padded(maker: InputGenerator) -> Scenario | None:
    """Rows of different lengths: padded on the right, and on the left."""
    if (
        not maker.is_text()
        or "attention_mask" not in maker.forward_parameters
        or not maker.supports_length(maker.sequence_length)
    ):
        return None
    rows = ROWS_PER_RANK * maker.data_ranks
    arguments, keywords = maker.make_inputs(rows, maker.sequence_length)
    mask = torch.ones(rows, maker.sequence_length, dtype=torch.int64)
    for row in range(rows):
        if row % 3 == 0:
            mask[row, maker.sequence_length - 5 :] = 0
        elif row % 3 == 1:
            mask[row, :3] = 0
    return Scenario("padded", arguments, {**keywords, "attention_mask": mask})


def _other_shape(maker: InputGenerator) -> Scenario | None:
    """Another batch and length than the captured ones: odd, but for what the ranks have to share."""
    if maker.config is None:
        made = maker.make_other_batch(3 * maker.data_ranks)
        return None if made is None else Scenario("another batch", *made)
    if not maker.supports_length(5 * maker.tensor_ranks):
        return None
    return Scenario("another shape", *maker.make_inputs(3 * maker.data_ranks, 5 * maker.tensor_ranks))


def _odd_length(maker: InputGenerator) -> Scenario | None:
    """A length that the ranks cannot share."""
    length = 4 * maker.tensor_ranks + 1
    if not maker.is_text() or maker.tensor_ranks == 1 or not maker.supports_length(length):
        return None
    return Scenario("odd length", *maker.make_inputs(ROWS_PER_RANK * maker.data_ranks, length), True)


SCENARIOS: tuple[MakeScenario, ...] = (_plain, _padded, _other_shape, _odd_length)


def make_scenarios(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], config: Any, *,
    tensor_ranks: int, data_ranks: int, seed: int,
) -> list[Scenario]:  # fmt: skip
    """The runs that a model can take.

    Args:
        arguments, keywords: what it is called with by default: shapes of a model of transformers, the very
            inputs of any other.
        config: the configuration of a model of transformers, or None.
        ranks: of the tensor axes together.
        parts: of the batch, one for each data rank.
        seed: of the data.
    """
    made = (
        make(InputGenerator(model, arguments, keywords, config, tensor_ranks, data_ranks, seed))
        for make in SCENARIOS
    )
    return [run for run in made if run is not None]
