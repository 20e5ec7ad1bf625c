"""A small model for Lightning, its plan, the same split by hand, and what training it must give."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.functional import mse_loss, silu
from torch.utils.data import DataLoader, TensorDataset

import planc
from planc.lightning import ModelParallelStrategy

WIDTH, SAMPLES, GLOBAL_BATCH, SEED, RATE = 8, 16, 4, 7, 0.05
"""GLOBAL: samples of a step over all data ranks."""

BODY = """plan body
mesh dp, tp
tensor tp {
    up    colwise
    gate  colwise
    down  rowwise
}
fsdp dp { root }
"""
"""For `Body` alone; `plan("body.")` is that of a module which holds one of that name."""


def body_plan(prefix: str = "", mesh: str = "dp, tp", fsdp: str = "dp") -> planc.Plan:
    text = BODY.replace("mesh dp, tp", f"mesh {mesh}").replace("fsdp dp", f"fsdp {fsdp}")
    for name in ("up ", "gate ", "down "):
        text = text.replace(f"    {name}", f"    {prefix}{name}")
    return planc.parse(text)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.gate = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.down(silu(self.gate(x)) * self.up(x))


def parallelize_by_hand(body: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """What users of Lightning write where there is no plan."""
    if mesh["tensor_parallel"].size() > 1:
        styles = {"up": ColwiseParallel(), "gate": ColwiseParallel(), "down": RowwiseParallel()}
        parallelize_module(body, mesh["tensor_parallel"], styles)
    if mesh["data_parallel"].size() > 1:
        fully_shard(body, mesh=mesh["data_parallel"])
    return body


class Model(pl.LightningModule):
    """Learns to halve its input."""

    def __init__(self, rate: float = RATE) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = Body()
        self.example_input_array = torch.zeros(GLOBAL_BATCH, WIDTH)
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = mse_loss(self(batch[0]), batch[1])
        self.losses.append(float(self.trainer.strategy.reduce(loss.detach().clone())))
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("val", mse_loss(self(batch[0]), batch[1]), sync_dist=True)

    def test_step(self, batch: list[Tensor], index: int) -> None:
        self.log("test", mse_loss(self(batch[0]), batch[1]), sync_dist=True)

    def predict_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self(batch[0])

    def loader(self) -> DataLoader[Any]:
        return make_loader(GLOBAL_BATCH // self.device_mesh["data_parallel"].size())

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["rate"])


class ManualModel(Model):
    def configure_model(self) -> None:
        parallelize_by_hand(self.body, self.device_mesh)


def dataset() -> TensorDataset:
    x = torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x / 2)


def make_loader(size: int) -> DataLoader[Any]:
    return DataLoader(dataset(), batch_size=size)


def batch_indices(step: int) -> list[int]:
    """The samples of a step on all ranks together: as DistributedSampler shuffles them."""
    epoch, at = divmod(step * GLOBAL_BATCH, SAMPLES)
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) + epoch
    order: list[int] = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(seed)).tolist()
    return order[at : at + GLOBAL_BATCH]


def reference_run(*runs: int | Iterable[int]) -> tuple[list[float], Body]:
    """Losses and the model after some steps of plain torch, in one process: a number of them, or which
    ones, and each run with an optimizer of its own."""
    torch.manual_seed(SEED)
    body = Body()
    losses = []
    for steps in runs:
        optimizer = torch.optim.AdamW(body.parameters(), lr=RATE)
        for step in range(steps) if isinstance(steps, int) else steps:
            x, y = dataset()[batch_indices(step)]
            loss = mse_loss(body(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, body


def seeded_model(kind: type[Model]) -> Any:
    torch.manual_seed(SEED)
    return kind()


def make_strategy(planned: bool, **given: Any) -> ModelParallelStrategy:
    return ModelParallelStrategy(plan=body_plan("body.") if planned else None, **given)


def make_trainer(strategy: Any, count: int, **given: Any) -> pl.Trainer:
    """A Trainer over the processes of this group that shows and writes nothing by itself."""
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(accelerator="cpu", devices=count, strategy=strategy, **{**quiet, **given})


def full_tensor(tensor: Tensor) -> Tensor:
    found = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return found.detach().clone()


def max_difference(model: nn.Module, other: nn.Module) -> float:
    """The largest difference between two models' parameters, by their names."""
    mine, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    assert mine.keys() == theirs.keys(), (mine.keys(), theirs.keys())
    return max(float((full_tensor(mine[name]) - full_tensor(theirs[name])).abs().max()) for name in theirs)


def max_loss_difference(some: list[float], others: list[float]) -> float:
    assert len(some) == len(others), (some, others)
    return max(abs(a - b) for a, b in zip(some, others))
