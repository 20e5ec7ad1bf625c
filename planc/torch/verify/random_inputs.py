"""Random inputs for a model."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import leaves, map_leaves
from planc.torch.models.example_values import random_values, with_placeholders
from planc.torch.models.input_rows import sequence_length as max_sequence_length
from planc.torch.verify.fill_inputs import TOKEN_INPUTS
from planc.torch.verify.model_under_test import ModelUnderTest

MIN_SEQUENCE_LENGTH = 16
"""The least length of a sequence, unless the model allows only a shorter one."""


class InputGenerator:
    """Makes the inputs of one model."""

    def __init__(self, subject: ModelUnderTest, tensor_ranks: int, data_ranks: int, seed: int) -> None:
        """
        Args:
            subject: the model, with example inputs.
            tensor_ranks: the product of the sizes of the tensor axes, which may divide the sequence.
            data_ranks: how many ranks divide the batch.
            seed: of the data.
        """
        self.model, self.args, self.kwargs = subject.model, subject.args, subject.kwargs
        self.config = subject.config
        self.tensor_ranks, self.data_ranks = tensor_ranks, data_ranks
        self.generator = torch.Generator().manual_seed(seed + 2)
        self.forward_parameters = set(inspect.signature(subject.model.forward).parameters)

    @property
    def sequence_length(self) -> int:
        """A length of which each tensor rank gets an equal part, of two tokens or more."""
        return self.tensor_ranks * max(2, -(-MIN_SEQUENCE_LENGTH // self.tensor_ranks))

    def is_text(self) -> bool:
        """Whether this is a model of transformers that takes tokens, of any length."""
        return self.config is not None and "input_ids" in self.kwargs and self.is_only_text()

    def is_only_text(self) -> bool:
        """Whether no other input has the length of the text: images whose tokens stand in it, a mask, boxes."""
        lengths = {item.shape[1:2] for name, item in self.kwargs.items() if name in TOKEN_INPUTS}
        others = [
            item
            for name, item in self.kwargs.items()
            if name not in TOKEN_INPUTS and isinstance(item, Tensor)
        ]
        return not any(item.ndim > 1 and item.shape[1:2] in lengths for item in others)

    def supports_length(self, length: int) -> bool:
        """Whether the model takes sequences of this length."""
        return self.config is None or not self._takes_tokens() or length <= max_sequence_length(self.config)

    def _takes_tokens(self) -> bool:
        return bool(TOKEN_INPUTS & set(self.kwargs))

    def make_inputs(self, rows: int, length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs of a model of transformers, with `rows` rows and, where it takes tokens, of this length."""
        inputs = {name: self._random_like(name, item, rows, length) for name, item in self.kwargs.items()}
        return (), with_placeholders(self.model, self.config, inputs, self.generator)

    def _random_like(self, name: str, item: Any, rows: int, length: int) -> Any:
        if not isinstance(item, Tensor):
            return item
        shape = (rows, *item.shape[1:])
        if name in TOKEN_INPUTS and self.is_only_text() and item.ndim == 2:
            shape = (rows, length)
        return random_values(name, shape, item.dtype, self.config, self.generator)

    def make_other_batch(self, rows: int) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Inputs like a factory's, with `rows` rows; None where neither its inputs nor its code show that the
        first dim is the batch."""
        example = (self.args, dict(self.kwargs))
        tensors = leaves(example, Tensor)
        sizes = {item.shape[0] if item.ndim else 0 for item in tensors}
        if len(sizes) != 1 or not min(sizes) or any(item.ndim < 2 for item in tensors):
            return None
        made: tuple[tuple[Any, ...], dict[str, Any]] = map_leaves(
            example, Tensor, lambda item: self._random_rows(item, rows)
        )
        return made if _accepts(self.model, *made) else None

    def _random_rows(self, item: Tensor, rows: int) -> Tensor:
        """Random rows: normal numbers, or integers in the range of the example's."""
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.generator, dtype=item.dtype)
        least, most = int(item.min()), int(item.max())
        return torch.randint(least, most + 1, shape, generator=self.generator).to(item.dtype)


def _accepts(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a model takes such inputs, tried on the meta device."""
    try:
        # A copy: torch's functional_call restores wrong parameters in a module that has two names.
        meta_model = copy.deepcopy(model).to("meta")
        with torch.no_grad(), torch.device("meta"):
            args, kwargs = map_leaves((args, kwargs), Tensor, lambda item: item.to("meta"))
            meta_model(*args, **kwargs)
    except Exception:  # noqa: BLE001  # the user's code may fail in any way
        return False
    return True
