"""Fabric with the strategy, its model and its steps."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from torch import nn
from torch.nn.functional import mse_loss

from planc.lightning.fabric import ModelParallelStrategy
from tests.lightning.ranks.models import (
    RATE,
    SEED,
    WIDTH,
    Body,
    batch_indices,
    body_plan,
    dataset,
    parallelize_by_hand,
)

Report = dict[str, Any]
INPUTS = [f"x=float32[4,{WIDTH}]"]


def make_fabric(planned: bool, precision: Any = "32-true", **given: Any) -> Fabric:
    how = {"plan": body_plan(), "plan_inputs": INPUTS} if planned else {"parallelize_fn": parallelize_by_hand}
    strategy = ModelParallelStrategy(**{**how, **given})
    made = Fabric(accelerator="cpu", devices=dist.get_world_size(), strategy=strategy, precision=precision)
    made.launch()
    return made


def mesh_sizes(dp: int, tp: int) -> dict[str, int]:
    return {"data_parallel_size": dp, "tensor_parallel_size": tp}


def seeded_body() -> Body:
    torch.manual_seed(SEED)
    return Body()


def setup(made: Fabric, body: nn.Module | None = None) -> tuple[Any, Any]:
    model = made.setup(body or seeded_body())
    return model, made.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=RATE))


def train_step(made: Fabric, model: Any, optimizer: Any, number: int = 0) -> float:
    """A step with this rank's part of a batch. The loss over all data ranks."""
    group = made.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]
    own = batch_indices(number)[group.get_local_rank() :: group.size()]
    x, y = dataset()[own]
    loss = mse_loss(model(x), y)
    made.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    return float(made.all_reduce(loss.detach().clone()))
