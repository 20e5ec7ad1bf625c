"""A random loss, and the outputs of a model that it is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from planc.ir.tree import CONTAINERS, Dataclass, dotted, leaves_with_paths

NamedTensors = dict[str, Tensor]


def named_outputs(output: Any) -> dict[str, Tensor]:
    """The tensors of what a model returns, by dotted names of keys, positions and fields."""
    found = leaves_with_paths(output, Tensor, into=(*CONTAINERS, Dataclass))
    return {dotted(path): tensor for path, tensor in found}


class RandomLoss:
    """The cross entropy of the logits where the plan shards the vocabulary, plus the product with random
    coefficients of every other output that requires a gradient. Each entry of an output counts differently.

    The loss is a mean over the batch, so the mean of the data ranks' losses is the loss of the whole batch.
    """

    def __init__(self, outputs: Mapping[str, Tensor], logits: str | None, seed: int) -> None:
        """
        Args:
            outputs: of the unsplit model, by name.
            logits: the name of the output that cross entropy is computed of; None: there is none.
            seed: of the coefficients.
        """
        generator = torch.Generator().manual_seed(seed)
        self.logits = logits
        self.coefficients: dict[str, Tensor] = {}
        """By output: labels for the logits, of all dims but the last; else random numbers of its shape."""
        for name, output in outputs.items():
            if name == logits:
                shape, classes = output.shape[:-1], output.shape[-1]
                self.coefficients[name] = torch.randint(0, classes, shape, generator=generator)
            elif output.is_floating_point() and output.requires_grad:
                self.coefficients[name] = torch.randn(output.shape, generator=generator, dtype=torch.float64)

    def terms(
        self,
        outputs: Mapping[str, Tensor],
        coefficients: Mapping[str, Tensor],
        batch_shards: Mapping[str, int] | None = None,
    ) -> dict[str, Tensor]:
        """The scalars whose sum is the loss, by output.

        Args:
            outputs: of this rank.
            coefficients: this rank's slices of `self.coefficients`.
            batch_shards: by output, how many data ranks share it, each with a loss of its own.
        """
        terms: dict[str, Tensor] = {}
        for name, coefficient in coefficients.items():
            output = outputs.get(name)
            if output is None or not output.requires_grad:
                continue
            if name == self.logits:
                flat = output.reshape(-1, output.shape[-1])
                terms[name] = functional.cross_entropy(flat, coefficient.reshape(-1))
            else:
                rows = self.coefficients[name].shape[0] if output.ndim else 1
                own_rows = rows / (batch_shards or {}).get(name, 1)
                terms[name] = (output * coefficient.to(output.dtype)).sum() / own_rows
        return terms
