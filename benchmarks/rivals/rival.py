"""A rival: a split model, its optimizer, and a training step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

Backward = Callable[[Tensor], object]


@dataclass(frozen=True)
class Rival:
    """A model and its optimizer. `context` is entered around forward, loss and backward."""

    model: nn.Module
    optimizer: Optimizer
    context: Callable[[], AbstractContextManager[object]] = nullcontext
    backward: Backward = torch.Tensor.backward

    def step(self, ids: Tensor) -> Tensor:
        """Make one step. Returns its loss without waiting for the device.

        Args:
            ids: (rows, length + 1) token ids.
        """
        with self.context():
            logits = self.model(ids[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
            self.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def untrained_params(self) -> list[str]:
        """The parameters that no step has changed."""
        # Fabric wraps the optimizer that it was given.
        state = getattr(self.optimizer, "optimizer", self.optimizer).state
        return [name for name, parameter in self.model.named_parameters() if parameter not in state]


def adamw(model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer of all rivals. Its steps are large enough to change bfloat16 weights."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")
