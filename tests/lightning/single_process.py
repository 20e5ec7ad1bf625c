"""Strategies of both kinds, with and without a plan, in a process that is alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import LightningModule
from torch import nn

import planc
from planc.lightning import ModelParallelStrategy as ForTrainer
from planc.lightning.fabric import ModelParallelStrategy as ForFabric

PLAN = """plan two
mesh dp, tp
tensor tp {
    up    colwise
    down  rowwise
}
fsdp dp { root }
"""
CPU = torch.device("cpu")
Make = Callable[..., Any]


def unchanged(module: Any, mesh: Any) -> Any:
    return module


def without_plan(**given: Any) -> ForTrainer:
    return ForTrainer(**given)


def without_plan_fabric(**given: Any) -> ForFabric:
    return ForFabric(**{"parallelize_fn": unchanged, **given})


def with_plan(**given: Any) -> ForTrainer:
    return ForTrainer(plan=planc.parse(PLAN), **given)


def with_plan_fabric(**given: Any) -> ForFabric:
    return ForFabric(plan=planc.parse(PLAN), **given)


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))


class Configured(LightningModule):
    def configure_model(self) -> None:
        """Splits nothing."""


def fake_multiprocess(strategy: Any, nodes: int = 1, devices: int = 1) -> Any:
    """A strategy that believes to be one of several processes."""
    strategy._setup_distributed = mock.Mock()
    strategy._accelerator = mock.Mock()
    strategy.cluster_environment = mock.Mock(
        world_size=mock.Mock(return_value=nodes * devices), local_rank=mock.Mock(return_value=1)
    )
    strategy.parallel_devices = [CPU] * devices
    strategy.num_nodes = nodes
    if hasattr(strategy, "_lightning_module"):
        strategy._lightning_module = LightningModule()
    return strategy
