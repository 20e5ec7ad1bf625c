"""A small model in one process, its optimizers, and their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from planc.torch.checkpoints.load_checkpoint import LoadResult, load_checkpoint
from planc.torch.checkpoints.save_checkpoint import save_checkpoint
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict

Make = Callable[[Any], Optimizer]


def small_model(seed: int = 0) -> nn.Module:
    """A model with parameters and buffers, of other numbers for another seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def adamw(parameters: Any, **settings: Any) -> Optimizer:
    """The optimizer of most tests."""
    return torch.optim.AdamW(parameters, lr=0.01, **settings)


def adafactor(parameters: Any) -> Optimizer:
    """That of transformers, whose state is no tensor of the parameters' shapes."""
    from transformers.optimization import Adafactor

    return Adafactor(parameters)


def train_losses(own: nn.Module, optimizer: Optimizer, steps: int, start: int) -> list[float]:
    """Losses of some steps; equal numbers of steps have equal batches."""
    found = []
    for step in range(start, start + steps):
        batch = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss = own(batch).square().mean()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def save_training(path: Any, own: nn.Module, optimizer: Optimizer | None, *, full: bool, **rest: Any) -> None:
    """A checkpoint in the form of a trainer."""
    tensors: dict[str, Any] = {"state_dict": model_state_dict(own, full=full)}
    if optimizer is not None:
        state = optimizer_state_dict(own, optimizer, full=full)
        tensors |= {"optimizer_states": [state]} if full else {"optimizer_0": state}
    save_checkpoint(path, tensors, rest, full=full)


def load_training(path: Any, own: nn.Module, optimizer: Optimizer | None = None, **kwargs: Any) -> LoadResult:
    """Load what a trainer has saved."""
    return load_checkpoint(
        path, {"state_dict": own} | ({"optimizer_0": optimizer} if optimizer else {}), **kwargs
    )


def state_values(own: nn.Module) -> list[torch.Tensor]:
    """All numbers of a model."""
    return [value.clone() for value in own.state_dict().values()]


def all_equal(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    """Whether all of them are equal."""
    return len(some) == len(others) and all(map(torch.equal, some, others))
