"""Random inputs for a model."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import leaves, map_leaves
from planc.torch.models.default_inputs import sequence_length as max_sequence_length
from planc.torch.verify.model_under_test import ModelUnderTest

MIN_SEQUENCE_LENGTH = 16
"""The least length of a sequence, unless the model allows only a shorter one."""
_TOKEN_INPUTS = frozenset({"input_ids", "decoder_input_ids"})


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
        return self.config is not None and "input_ids" in self.kwargs

    def supports_length(self, length: int) -> bool:
        """Whether the model takes sequences of this length."""
        return self.config is None or not self._takes_tokens() or length <= max_sequence_length(self.config)

    def _takes_tokens(self) -> bool:
        return bool(_TOKEN_INPUTS & set(self.kwargs))

    def make_inputs(self, rows: int, length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs of a model of transformers, with `rows` rows and, where it takes tokens, of this length."""
        return (), {name: self._random_like(name, item, rows, length) for name, item in self.kwargs.items()}

    def _random_like(self, name: str, item: Any, rows: int, length: int) -> Any:
        if not isinstance(item, Tensor):
            return item
        if name in _TOKEN_INPUTS:
            tokens = self._ordinary_token_ids()
            return tokens[torch.randint(0, len(tokens), (rows, length), generator=self.generator)]
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.generator)
        return torch.randint(0, 2, shape, generator=self.generator, dtype=item.dtype)

    def _ordinary_token_ids(self) -> Tensor:
        """The ids of tokens without a special meaning: some models count padding, for instance."""
        text_config = getattr(self.config, "text_config", None)
        configs = [self.config, *([] if text_config is None else [text_config])]
        count = next((config.vocab_size for config in reversed(configs) if hasattr(config, "vocab_size")), 2)
        settings = [
            value for config in configs for name, value in vars(config).items() if name.endswith("_token_id")
        ]
        special = {value for value in settings if type(value) is int}
        ordinary = [token for token in range(count) if token not in special]
        return torch.tensor(ordinary or [0])

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
