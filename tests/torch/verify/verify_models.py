"""Modules for tests of `planc verify`."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Mlp(nn.Module):
    """Two layers, the second without a bias so that its sum is the result; `between` stands in their middle."""

    def __init__(self, between: Any = torch.relu) -> None:
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8, bias=False)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.between(self.up(x)))


def _inputs() -> Tensor:
    return torch.randn(4, 6, 8)


def mlp() -> Any:
    return Mlp(), _inputs()


def spectral() -> Any:
    """Mixes tokens, and never features: right where features are split, and planc has no rule for it."""
    return Mlp(lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1), n=x.shape[1], dim=1)), _inputs()


def _of_rank_1(does: Any) -> Any:
    def between(x: Tensor) -> Tensor:
        # Every rank also runs the unsplit model, whose layer is whole.
        if dist.is_initialized() and dist.get_rank() == 1 and x.shape[-1] < 16:
            does()
        return torch.relu(x)

    return Mlp(between), _inputs()


def dies() -> Any:
    return _of_rank_1(lambda: os._exit(3))


def hangs() -> Any:
    return _of_rank_1(lambda: time.sleep(600))


def raises() -> Any:
    return _of_rank_1(lambda: torch.zeros(1)[7])


class Dropping(nn.Module):
    """Drops numbers that are whole on every rank, and such as are split."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mlp = Mlp(nn.Sequential(nn.ReLU(), nn.Dropout(0.2)))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.mlp(self.norm(x)))


def dropping() -> Any:
    return Dropping(), _inputs()
