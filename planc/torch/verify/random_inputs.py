"""Random inputs for a model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.torch.models.default_inputs import sequence_length as longest

MIN_SEQUENCE_LENGTH = 16
"""Of a sequence, at least, where the model has no length of its own."""
_TOKEN_INPUTS = frozenset({"input_ids", "decoder_input_ids"})


class InputGenerator:
    """Makes the inputs of one model."""

    def __init__(
        self, model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], config: Any,
        tensor_ranks: int, data_ranks: int, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.arguments, self.keywords, self.config = model, arguments, keywords, config
        self.tensor_ranks, self.data_ranks = tensor_ranks, data_ranks
        self.generator = torch.Generator().manual_seed(seed + 2)
        self.forward_parameters = set(inspect.signature(model.forward).parameters)

    @property
    def sequence_length(self) -> int:
        """Of a sequence, such that each rank has a part of more than one."""
        return self.tensor_ranks * max(2, -(-MIN_SEQUENCE_LENGTH // self.tensor_ranks))

    def is_text(self) -> bool:
        """Whether it is a model of transformers that takes tokens, of any length."""
        return self.config is not None and "input_ids" in self.keywords

    def supports_length(self, length: int) -> bool:
        """Whether a sequence may be as long as that."""
        return self.config is None or not self._takes_tokens() or length <= longest(self.config)

    def _takes_tokens(self) -> bool:
        return bool(_TOKEN_INPUTS & set(self.keywords))

    def make_inputs(self, rows: int, length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs of a model of transformers, with this number of rows and, where it takes tokens, of this length."""
        return (), {name: self._random_like(name, item, rows, length) for name, item in self.keywords.items()}

    def _random_like(self, name: str, item: Any, rows: int, length: int) -> Any:
        if not isinstance(item, Tensor):
            return item
        if name in _TOKEN_INPUTS:
            words = self._ordinary_token_ids()
            return words[torch.randint(0, len(words), (rows, length), generator=self.generator)]
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.generator)
        return torch.randint(0, 2, shape, generator=self.generator, dtype=item.dtype)

    def _ordinary_token_ids(self) -> Tensor:
        """The ids that mean nothing special: padding is counted by some models."""
        configs = [self.config, *(c for c in [getattr(self.config, "text_config", None)] if c is not None)]
        count = next((c.vocab_size for c in reversed(configs) if hasattr(c, "vocab_size")), 2)
        named = [value for c in configs for name, value in vars(c).items() if name.endswith("_token_id")]
        special = {value for value in named if type(value) is int}
        found = [word for word in range(count) if word not in special]
        return torch.tensor(found or [0])

    def make_other_batch(self, rows: int) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Inputs like those that a factory gave, with this number of rows; None where its code, or what it
        gave, does not say that the first dim is the batch."""
        given = (self.arguments, dict(self.keywords))
        tensors = list(iter_tensors(given))
        sizes = {item.shape[0] if item.ndim else 0 for item in tensors}
        if len(sizes) != 1 or not min(sizes) or any(item.ndim < 2 for item in tensors):
            return None
        made: tuple[tuple[Any, ...], dict[str, Any]] = _map_tensors(
            given, lambda item: self._random_rows(item, rows)
        )
        return made if _accepts(self.model, *made) else None

    def _random_rows(self, item: Tensor, rows: int) -> Tensor:
        """Other rows, of numbers like those that were given."""
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.generator, dtype=item.dtype)
        least, most = int(item.min()), int(item.max())
        return torch.randint(least, most + 1, shape, generator=self.generator).to(item.dtype)


def iter_tensors(item: Any) -> Iterator[Tensor]:
    """All tensors of some arguments."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        yield from iter_tensors(tuple(item.values()))
    elif isinstance(item, tuple | list):
        for part in item:
            yield from iter_tensors(part)


def _map_tensors(item: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, Mapping):
        return {key: _map_tensors(part, change) for key, part in item.items()}
    if isinstance(item, tuple | list):
        return type(item)(_map_tensors(part, change) for part in item)
    return item


def _accepts(model: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether a model takes such inputs, tried without numbers."""
    try:
        # A copy: torch's functional call gives a module with two names its parameters back wrongly.
        bare = copy.deepcopy(model).to("meta")
        with torch.no_grad(), torch.device("meta"):
            arguments, keywords = _map_tensors((arguments, keywords), lambda item: item.to("meta"))
            bare(*arguments, **keywords)
    except Exception:  # noqa: BLE001  # the user's code may fail in any way
        return False
    return True
