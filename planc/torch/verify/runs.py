"""What a model is run on: random data, of several shapes. A row of `RUNS` for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.record import Record

EACH = 2
"""Rows of the batch on each data rank."""
LENGTH = 16
"""Of a sequence, where the model has no length of its own."""
_IDS = frozenset({"input_ids", "decoder_input_ids"})


class Run(Record):
    """What a model is called with: the batch of all data ranks together."""

    name: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    may_refuse: bool = False
    """Whether a plan need not take it: it may raise a clear error, and has to be right otherwise."""


class _Maker:
    """Makes the inputs of one model."""

    def __init__(
        self, model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], config: Any,
        ranks: int, parts: int, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.arguments, self.keywords, self.config = model, arguments, keywords, config
        self.ranks, self.parts = ranks, parts
        self.random = torch.Generator().manual_seed(seed + 2)
        self.takes = set(inspect.signature(model.forward).parameters)

    def is_text(self) -> bool:
        """Whether it is a model of transformers that takes tokens, of any length."""
        return self.config is not None and "input_ids" in self.keywords

    def inputs(self, rows: int, length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs with this number of rows; of models that take tokens, of this length."""
        if self.config is None:
            return self.arguments, dict(self.keywords)
        return (), {name: self._drawn(name, item, rows, length) for name, item in self.keywords.items()}

    def _drawn(self, name: str, item: Any, rows: int, length: int) -> Any:
        if not isinstance(item, Tensor):
            return item
        if name in _IDS:
            return torch.randint(self._first(), self._words(), (rows, length), generator=self.random)
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.random)
        return torch.randint(0, 2, shape, generator=self.random, dtype=item.dtype)

    def _words(self) -> int:
        text = getattr(self.config, "text_config", None) or self.config
        return int(getattr(text, "vocab_size", 2))

    def _first(self) -> int:
        """The first id that means nothing special in most vocabularies."""
        return min(3, self._words() - 1)


Make = Callable[[_Maker], Run | None]


def _plain(maker: _Maker) -> Run:
    return Run("plain", *maker.inputs(EACH * maker.parts, LENGTH))


def _padded(maker: _Maker) -> Run | None:
    """Rows of different lengths: padded on the right, and on the left."""
    if not maker.is_text() or "attention_mask" not in maker.takes:
        return None
    rows = EACH * maker.parts
    arguments, keywords = maker.inputs(rows, LENGTH)
    mask = torch.ones(rows, LENGTH, dtype=torch.int64)
    for row in range(rows):
        if row % 3 == 0:
            mask[row, LENGTH - 5 :] = 0
        elif row % 3 == 1:
            mask[row, :3] = 0
    return Run("padded", arguments, {**keywords, "attention_mask": mask})


def _longer(maker: _Maker) -> Run | None:
    """Another batch and length than the captured ones: odd, but for what the ranks have to share."""
    if maker.config is None:
        return None
    return Run("another shape", *maker.inputs(3 * maker.parts, 5 * maker.ranks))


def _odd(maker: _Maker) -> Run | None:
    """A length that the ranks cannot share."""
    if not maker.is_text() or maker.ranks == 1:
        return None
    return Run("odd length", *maker.inputs(EACH * maker.parts, 4 * maker.ranks + 1), True)


RUNS: tuple[Make, ...] = (_plain, _padded, _longer, _odd)


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
    made = (make(_Maker(model, arguments, keywords, config, ranks, parts, seed)) for make in RUNS)
    return [run for run in made if run is not None]
