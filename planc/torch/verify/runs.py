"""What a model is run on: random data, of several shapes. A row of `RUNS` for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from planc.ir.record import Record
from planc.torch.defaults import length as longest
from planc.torch.verify.drawn import Maker

EACH = 4
"""Rows of the batch on each data rank."""


class Run(Record):
    """What a model is called with: the batch of all data ranks together."""

    name: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    may_refuse: bool = False
    """Whether a plan need not take it: it may raise a clear error, and has to be right otherwise."""


Make = Callable[[Maker], Run | None]


def _plain(maker: Maker) -> Run:
    if maker.config is None:
        return Run("plain", maker.arguments, dict(maker.keywords))
    return Run("plain", *maker.inputs(EACH * maker.parts, min(maker.length, longest(maker.config))))


def _padded(maker: Maker) -> Run | None:
    """Rows of different lengths: padded on the right, and on the left."""
    if not maker.is_text() or "attention_mask" not in maker.takes or not maker.has_length(maker.length):
        return None
    rows = EACH * maker.parts
    arguments, keywords = maker.inputs(rows, maker.length)
    mask = torch.ones(rows, maker.length, dtype=torch.int64)
    for row in range(rows):
        if row % 3 == 0:
            mask[row, maker.length - 5 :] = 0
        elif row % 3 == 1:
            mask[row, :3] = 0
    return Run("padded", arguments, {**keywords, "attention_mask": mask})


def _another(maker: Maker) -> Run | None:
    """Another batch and length than the captured ones: odd, but for what the ranks have to share."""
    if maker.config is None:
        made = maker.another_batch(3 * maker.parts)
        return None if made is None else Run("another batch", *made)
    if not maker.has_length(5 * maker.ranks):
        return None
    return Run("another shape", *maker.inputs(3 * maker.parts, 5 * maker.ranks))


def _odd(maker: Maker) -> Run | None:
    """A length that the ranks cannot share."""
    length = 4 * maker.ranks + 1
    if not maker.is_text() or maker.ranks == 1 or not maker.has_length(length):
        return None
    return Run("odd length", *maker.inputs(EACH * maker.parts, length), True)


RUNS: tuple[Make, ...] = (_plain, _padded, _another, _odd)


def runs_for(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], config: Any, *,
    ranks: int, parts: int, seed: int,
) -> list[Run]:  # fmt: skip
    """The runs that a model can take.

    Args:
        arguments, keywords: what it is called with by default: shapes of a model of transformers, the very
            inputs of any other.
        config: the configuration of a model of transformers, or None.
        ranks: of the tensor axes together.
        parts: of the batch, one for each data rank.
        seed: of the data.
    """
    made = (make(Maker(model, arguments, keywords, config, ranks, parts, seed)) for make in RUNS)
    return [run for run in made if run is not None]
