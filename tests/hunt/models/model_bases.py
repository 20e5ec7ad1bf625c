"""The models that are mutated: plain modules of the hunt, and the shipped families at small sizes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import map_leaves
from planc.torch.models.input_rows import sequence_length
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.random_inputs import InputGenerator
from tests.hunt.bases import bases
from tests.hunt.models.shapes import Shapes, shapes_of

LENGTH = 12
"""Tokens in a row; 4 ranks can share them."""
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Base:
    """A model as it was before it is mutated."""

    name: str
    subject: ModelUnderTest

    def model(self) -> nn.Module:
        """A copy, in train mode."""
        return copy.deepcopy(self.subject.model).train()

    def call(self, rows: int, seed: int) -> Call:
        """Random inputs with so many rows."""
        subject = self.subject
        generator = InputGenerator(subject, 1, 1, seed)
        if subject.config is not None:
            length = min(LENGTH, sequence_length(subject.config))
            return generator.make_inputs(rows, length)
        made: Call = map_leaves(
            (subject.args, dict(subject.kwargs)), Tensor, lambda x: _random_rows(x, rows, generator.generator)
        )
        return made

    @property
    def tolerance(self) -> float:
        """The share of a tensor's largest entry that rounding explains: transformers computes norms in float32."""
        return 1e-8 if self.subject.config is None else 2e-5


def _random_rows(item: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    shape = (rows, *item.shape[1:])
    if item.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=item.dtype)
    return torch.randint(int(item.min()), int(item.max()) + 1, shape, generator=generator).to(item.dtype)


def base_names() -> list[str]:
    """All bases: those that two or more of the plain modules are, and all shipped families."""
    return list(bases())


@cache
def model_base(name: str) -> Base:
    """A base by its name."""
    return Base(name, build_model_under_test(bases()[name].reference(), 0))


@cache
def shapes_in(name: str, rows: int) -> Shapes:
    """The calls of a base's modules."""
    base = model_base(name)
    return shapes_of(base.model(), *base.call(rows, 0))
