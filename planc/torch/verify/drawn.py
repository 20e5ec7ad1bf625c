"""Random inputs for a model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.torch.defaults import length as longest

LENGTH = 16
"""Of a sequence, at least, where the model has no length of its own."""
_IDS = frozenset({"input_ids", "decoder_input_ids"})


class Maker:
    """Makes the inputs of one model."""

    def __init__(
        self, model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], config: Any,
        ranks: int, parts: int, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.arguments, self.keywords, self.config = model, arguments, keywords, config
        self.ranks, self.parts = ranks, parts
        self.random = torch.Generator().manual_seed(seed + 2)
        self.takes = set(inspect.signature(model.forward).parameters)

    @property
    def length(self) -> int:
        """Of a sequence, such that each rank has a part of more than one."""
        return self.ranks * max(2, -(-LENGTH // self.ranks))

    def is_text(self) -> bool:
        """Whether it is a model of transformers that takes tokens, of any length."""
        return self.config is not None and "input_ids" in self.keywords

    def has_length(self, length: int) -> bool:
        """Whether a sequence may be as long as that."""
        return self.config is None or not self._are_ids() or length <= longest(self.config)

    def _are_ids(self) -> bool:
        return bool(_IDS & set(self.keywords))

    def inputs(self, rows: int, length: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Inputs of a model of transformers, with this number of rows and, where it takes tokens, of this length."""
        return (), {name: self._drawn(name, item, rows, length) for name, item in self.keywords.items()}

    def _drawn(self, name: str, item: Any, rows: int, length: int) -> Any:
        if not isinstance(item, Tensor):
            return item
        if name in _IDS:
            words = self._words()
            return words[torch.randint(0, len(words), (rows, length), generator=self.random)]
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.random)
        return torch.randint(0, 2, shape, generator=self.random, dtype=item.dtype)

    def _words(self) -> Tensor:
        """The ids that mean nothing special: padding is counted by some models."""
        configs = [self.config, *(c for c in [getattr(self.config, "text_config", None)] if c is not None)]
        count = next((c.vocab_size for c in reversed(configs) if hasattr(c, "vocab_size")), 2)
        named = [value for c in configs for name, value in vars(c).items() if name.endswith("_token_id")]
        special = {value for value in named if type(value) is int}
        found = [word for word in range(count) if word not in special]
        return torch.tensor(found or [0])

    def another_batch(self, rows: int) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Inputs like those that a factory gave, with this number of rows; None where its code, or what it
        gave, does not say that the first dim is the batch."""
        given = (self.arguments, dict(self.keywords))
        tensors = list(tensors_in(given))
        sizes = {item.shape[0] if item.ndim else 0 for item in tensors}
        if len(sizes) != 1 or not min(sizes) or any(item.ndim < 2 for item in tensors):
            return None
        made: tuple[tuple[Any, ...], dict[str, Any]] = _mapped(given, lambda item: self._rows(item, rows))
        return made if _runs(self.model, *made) else None

    def _rows(self, item: Tensor, rows: int) -> Tensor:
        """Other rows, of numbers like those that were given."""
        shape = (rows, *item.shape[1:])
        if item.is_floating_point():
            return torch.randn(shape, generator=self.random, dtype=item.dtype)
        least, most = int(item.min()), int(item.max())
        return torch.randint(least, most + 1, shape, generator=self.random).to(item.dtype)


def tensors_in(item: Any) -> Iterator[Tensor]:
    """All tensors of some arguments."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        yield from tensors_in(tuple(item.values()))
    elif isinstance(item, tuple | list):
        for part in item:
            yield from tensors_in(part)


def _mapped(item: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, Mapping):
        return {key: _mapped(part, change) for key, part in item.items()}
    if isinstance(item, tuple | list):
        return type(item)(_mapped(part, change) for part in item)
    return item


def _runs(model: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether a model takes such inputs, tried without numbers."""
    try:
        # A copy: torch's functional call gives a module with two names its parameters back wrongly.
        bare = copy.deepcopy(model).to("meta")
        with torch.no_grad(), torch.device("meta"):
            arguments, keywords = _mapped((arguments, keywords), lambda item: item.to("meta"))
            bare(*arguments, **keywords)
    except Exception:  # noqa: BLE001  # the user's code may fail in any way
        return False
    return True
