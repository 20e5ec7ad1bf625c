"""A side of the comparison: a split model, its optimizer, and a step of training."""

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
    """What trains; `around` holds for forward, loss and backward."""

    model: nn.Module
    optimizer: Optimizer
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    backward: Backward = torch.Tensor.backward

    def step(self, ids: Tensor) -> Tensor:
        """One step. Returns its loss, which nobody has waited for."""
        with self.around():
            logits = self.model(ids[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
            self.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def idle(self) -> list[str]:
        """The parameters that no step has moved."""
        moved = getattr(
            self.optimizer, "optimizer", self.optimizer
        ).state  # Fabric's holds the one it was given
        return [name for name, parameter in self.model.named_parameters() if parameter not in moved]


def adamw(model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer of all rivals. Steps large enough that bfloat16 weights move."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")
