"""A number to differentiate, and the tensors that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NamedTensors = dict[str, Tensor]


def named_outputs(result: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of what a model returns, by their names."""
    if isinstance(result, Tensor):
        yield name, result
        return
    if isinstance(result, Mapping):
        items = list(result.items())
    elif isinstance(result, tuple | list):
        items = list(enumerate(result))
    elif is_dataclass(result):
        items = [(field.name, getattr(result, field.name)) for field in fields(result)]
    else:
        return
    for key, part in items:
        yield from named_outputs(part, f"{name}.{key}" if name else str(key))


class RandomLoss:
    """The loss: cross entropy of the logits where the plan splits them over the vocabulary, and the product
    with random factors of all else that a gradient flows to. Each entry of a result counts, and differently.

    It is a mean over the batch, so that the mean over parts of the batch is the loss of the whole."""

    def __init__(self, results: Mapping[str, Tensor], logits: str | None, seed: int) -> None:
        """
        Args:
            results: of the unsplit model.
            logits: the name of what cross entropy is taken of.
        """
        random = torch.Generator().manual_seed(seed)
        self.logits = logits
        self.coefficients: dict[str, Tensor] = {}
        for name, item in results.items():
            if name == logits:
                shape, classes = item.shape[:-1], item.shape[-1]
                self.coefficients[name] = torch.randint(0, classes, shape, generator=random)
            elif item.is_floating_point() and item.requires_grad:
                self.coefficients[name] = torch.randn(item.shape, generator=random, dtype=torch.float64)

    def terms(
        self,
        results: Mapping[str, Tensor],
        coefficients: Mapping[str, Tensor],
        batch_shards: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """What the loss is the sum of, by result.

        Args:
            factors: the rank's share of `self.factors`.
            parts: how many ranks the rows of a result are shared by, each with a loss of its own.
        """
        found: dict[str, Tensor] = {}
        for name, factor in coefficients.items():
            item = results.get(name)
            if item is None or not item.requires_grad:
                continue
            if name == self.logits:
                flat = item.reshape(-1, item.shape[-1])
                found[name] = functional.cross_entropy(flat, factor.reshape(-1))
            else:
                rows = self.coefficients[name].shape[0] if item.ndim else 1
                count = rows // (batch_shards or {}).get(name, 1)
                found[name] = (item * factor.to(item.dtype)).sum() / count
        return found
