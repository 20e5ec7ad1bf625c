"""Trainers with callbacks of Lightning on a model that a plan splits: what each rank sees."""

from __future__ import annotations

import os
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.tuner import Tuner
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import planc
from planc.lightning import ModelParallelStrategy

RULES = """
tensor tensor_parallel {
    BODY   inputs(0: replicate -> replicate)
    UP     colwise
    DOWN   rowwise
}
"""
PLAN = "mesh data_parallel, tensor_parallel" + RULES.replace("BODY", "net").replace("UP", "net.{0}").replace(
    "DOWN", "net.{2}"
)
TARGET_PLAN = "mesh data_parallel, tensor_parallel" + RULES.replace("BODY", "root").replace(
    "UP", "{0}"
).replace("DOWN", "{2}")
TARGET_PLAN = TARGET_PLAN.replace("{0}", "up").replace("{2}", "down")


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.example_input_array = torch.zeros(4, 8)
        self.lr, self.fault = 0.01, ""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.fault and batch_idx == 1:
            raise TypeError(self.fault)
        return nn.functional.mse_loss(self(batch[0]), batch[0] / 2)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self(batch[0])

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def train_dataloader(self) -> Any:
        x = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
        return DataLoader(TensorDataset(x), batch_size=4)

    test_dataloader = predict_dataloader = train_dataloader

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=self.lr)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


class BeforeTarget(Model):
    """A trained part before the plan's target."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"pre": nn.Linear(8, 8), "body": Body()})

    def forward(self, x: Tensor) -> Tensor:
        return self.net["body"](self.net["pre"](x))


class Unfreeze(BaseFinetuning):
    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net[0])

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.net[0], optimizer, lr=0.005)


def trainer(
    split: bool, plan: str = PLAN, target: str | None = None, background: bool = False, **options: Any
) -> Any:
    strategy: Any = "auto"
    if split:
        strategy = ModelParallelStrategy(
            1, 2, plan=planc.parse(plan), plan_target=target, save_in_background=background
        )
    defaults = {
        "logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
        "num_sanity_val_steps": 0, "max_epochs": 2, "devices": 2 if split else 1, "accelerator": "cpu", "use_distributed_sampler": False,
    }  # fmt: skip
    return pl.Trainer(strategy=strategy, **(defaults | options))


def weights(model: Any) -> list[list[float]]:
    return [tensor.flatten().tolist() for tensor in planc.full([p.detach() for p in model.parameters()])]


def later_runs(folder: str) -> list[str]:
    """Runs of one Trainer after a checkpoint was removed."""
    model = Model()
    made = trainer(True, callbacks=[ModelCheckpoint(dirpath=folder)], enable_checkpointing=True)
    made.fit(model)
    made.test(model, verbose=False)
    made.predict(model)
    made.fit_loop.max_epochs = 3
    made.fit(model)
    return sorted(os.listdir(folder))


def after_a_search(folder: str) -> int:
    model = Model()
    made = trainer(True, default_root_dir=folder)
    Tuner(made).lr_find(model, num_training=5)
    made.fit(model)
    made.test(model, verbose=False)
    return int(made.global_step)


def after_an_error() -> dict[str, Any]:
    """The error of a step, with its notes, and the steps of a second run."""
    model, made = Model(), trainer(True)
    model.fault = "the user's DTensor placement"
    found: dict[str, Any] = {}
    try:
        made.fit(model)
    except TypeError as error:
        found = {"error": str(error), "notes": getattr(error, "__notes__", [])}
    model.fault = ""
    again = trainer(True)
    again.fit(model)
    return {**found, "steps": int(again.global_step)}


def callback_weights(kind: str, split: bool) -> list[list[float]]:
    """The weights after training with a callback."""
    callback: Any = Unfreeze() if kind == "finetuning" else StochasticWeightAveraging(0.01, swa_epoch_start=1)
    model = Model()
    trainer(split, callbacks=[callback], max_epochs=4).fit(model)
    return weights(model)


def linked(folder: str) -> list[str]:
    model = Model()
    checkpoint = ModelCheckpoint(dirpath=folder, save_last="link")
    trainer(True, background=True, callbacks=[checkpoint], enable_checkpointing=True).fit(model)
    return sorted(name for name in os.listdir(folder) if os.path.exists(os.path.join(folder, name)))


def target_weights(split: bool) -> list[list[float]]:
    """The weights after training with a plan for a part, whose inputs come from `example_input_array`."""
    model = BeforeTarget()
    trainer(split, TARGET_PLAN, "net.body").fit(model)
    return weights(model)
