"""The inputs that a model is run on: random data of several shapes. `SCENARIOS` has a row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from planc.ir.record import Record
from planc.torch.models.input_rows import sequence_length as max_sequence_length
from planc.torch.verify.model_under_test import ModelUnderTest
from planc.torch.verify.random_inputs import InputGenerator

ROWS_PER_RANK = 4
"""Rows of the batch on each data rank."""


class Scenario(Record):
    """What a model is called with: the batch of all data ranks together."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    may_raise: bool = False
    """Whether the split model may reject these inputs with an error of planc; if it takes them, its results must be
    right."""


MakeScenario = Callable[[InputGenerator], Scenario | None]
"""None: the scenario does not suit the model."""


def _plain(generator: InputGenerator) -> Scenario:
    if generator.config is None:
        return Scenario("plain", generator.args, dict(generator.kwargs))
    rows = ROWS_PER_RANK * generator.data_ranks
    length = min(generator.sequence_length, max_sequence_length(generator.config))
    return Scenario("plain", *generator.make_inputs(rows, length))


def _padded(generator: InputGenerator) -> Scenario | None:
    """Rows of different lengths: padded on the right, and on the left."""
    length = generator.sequence_length
    takes_mask = "attention_mask" in generator.forward_parameters
    if not generator.is_text() or not takes_mask or not generator.supports_length(length):
        return None
    rows = ROWS_PER_RANK * generator.data_ranks
    args, kwargs = generator.make_inputs(rows, length)
    mask = torch.ones(rows, length, dtype=torch.int64)
    for row in range(rows):
        if row % 3 == 0:
            mask[row, length - 5 :] = 0
        elif row % 3 == 1:
            mask[row, :3] = 0
    return Scenario("padded", args, {**kwargs, "attention_mask": mask})


def _other_shape(generator: InputGenerator) -> Scenario | None:
    """Another batch and another length than those of the capture: odd, except that the ranks can divide them."""
    if generator.config is None:
        inputs = generator.make_other_batch(3 * generator.data_ranks)
        return None if inputs is None else Scenario("another batch", *inputs)
    length = 5 * generator.tensor_ranks
    if not generator.supports_length(length):
        return None
    return Scenario("another shape", *generator.make_inputs(3 * generator.data_ranks, length))


def _odd_length(generator: InputGenerator) -> Scenario | None:
    """A length that the ranks cannot divide evenly."""
    length = 4 * generator.tensor_ranks + 1
    is_divided = generator.tensor_ranks > 1
    if not generator.is_text() or not is_divided or not generator.supports_length(length):
        return None
    rows = ROWS_PER_RANK * generator.data_ranks
    return Scenario("odd length", *generator.make_inputs(rows, length), may_raise=True)


SCENARIOS: tuple[MakeScenario, ...] = (_plain, _padded, _other_shape, _odd_length)


def make_scenarios(
    subject: ModelUnderTest, *, tensor_ranks: int, data_ranks: int, seed: int
) -> list[Scenario]:
    """The scenarios that suit a model.

    Args:
        subject: a model of transformers, whose inputs give names and shapes; or any other model, whose inputs
            are the first scenario.
        tensor_ranks: the product of the sizes of the tensor axes.
        data_ranks: how many ranks divide the batch.
        seed: of the data.
    """
    scenarios = (make(InputGenerator(subject, tensor_ranks, data_ranks, seed)) for make in SCENARIOS)
    return [scenario for scenario in scenarios if scenario is not None]
