"""The Trainer with our strategy, on the processes of a group: with a plan, and split by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DistributedSampler
from torchmetrics.classification import MulticlassAccuracy

from tests.lightning.ranks.models import (
    ManualModel,
    Model,
    full_tensor,
    make_strategy,
    make_trainer,
    max_difference,
    max_loss_difference,
    reference_run,
    seeded_model,
)

Report = dict[str, Any]


def model_class(planned: bool) -> type[Model]:
    return Model if planned else ManualModel


def trainer_mesh(planned: bool, sizes: list[int] | None) -> Report:
    """What `configure_model` sees of the mesh."""
    count = dist.get_world_size()
    seen: Report = {}

    class Looks(model_class(planned)):  # type: ignore[misc]
        def configure_model(self) -> None:
            mesh = self.device_mesh
            seen.update(type=mesh.device_type, names=mesh.mesh_dim_names, shape=list(mesh.mesh.shape))
            super().configure_model()

    given = {} if sizes is None else {"data_parallel_size": sizes[0], "tensor_parallel_size": sizes[1]}
    made = make_trainer(make_strategy(planned, **given), count, max_steps=1)
    made.fit(seeded_model(Looks))
    return {**seen, "sampler": made.distributed_sampler_kwargs, "rank": dist.get_rank()}


def train_and_compare(planned: bool, dp: int, tp: int) -> Report:
    """Four steps, compared with one process; and what a user sees of the split model meanwhile."""
    seen: Report = {}

    class Watched(model_class(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            parameters = list(self.parameters())
            group_params = [p for group in self.optimizers().param_groups for p in group["params"]]
            loader = self.trainer.train_dataloader
            seen.update(
                split=[name for name, p in self.named_parameters() if isinstance(p, DTensor)],
                optimized=set(map(id, group_params)) == set(map(id, parameters)),
                meta=any(p.is_meta for p in parameters),
                mesh=self.body.up.weight.device_mesh.size(),
                sampler=isinstance(loader.sampler, DistributedSampler),
                batches=len(loader),
            )

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            table = self.all_gather(batch[0])[self.device_mesh.mesh]
            seen["same in tensor groups"] = bool((table == table[:, :1]).all())
            seen["differ between them"] = dp == 1 or not torch.equal(table[0], table[1])
            return super().training_step(batch, index)

    model = seeded_model(Watched)
    given = {"data_parallel_size": dp, "tensor_parallel_size": tp}
    make_trainer(make_strategy(planned, **given), dp * tp, max_steps=4).fit(model)
    losses, body = reference_run(4)
    return {
        **seen,
        "losses": max_loss_difference(model.losses, losses),
        "weights": max_difference(model.body, body),
    }


def metric_reduction(planned: bool) -> Report:
    """A metric has no parameters, and is part of the model."""

    class Measured(model_class(planned)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.metric = MulticlassAccuracy(num_classes=3, average="micro")

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            # Each rank is right as often as its number says, of four.
            right = torch.arange(4) < dist.get_rank()
            self.metric(torch.where(right, 1, 2), torch.ones(4, dtype=torch.int64))
            self.log("metric", self.metric, on_epoch=True, on_step=False)
            return super().training_step(batch, index)

    model = seeded_model(Measured)
    made = make_trainer(make_strategy(planned), dist.get_world_size(), max_epochs=1)
    made.fit(model)
    return {"device": str(model.metric.device), "metric": float(made.callback_metrics["metric"])}


def init_contexts(planned: bool, precision: str, empty: bool) -> Report:
    """Where and in which type a model is made, and where and in which type it is trained."""
    seen: Report = {}

    class Watched(model_class(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            seen["trained"] = _devices_and_dtypes(self)
            seen["optimized"] = str(
                self.optimizers(use_pl_optimizer=False).param_groups[0]["params"][0].device
            )

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return self(batch[0].to(self.body.up.weight.dtype)).sum()

    made = make_trainer(make_strategy(planned), dist.get_world_size(), max_steps=1, precision=precision)
    with made.init_module(empty_init=empty):
        model = Watched()
    seen["made"] = _devices_and_dtypes(model)
    made.fit(model)
    return seen


def _devices_and_dtypes(model: torch.nn.Module) -> list[str]:
    return sorted({f"{p.device.type} {str(p.dtype).removeprefix('torch.')}" for p in model.parameters()})


def state_dicts(planned: bool, sharded: bool) -> Report:
    """The state dict of the strategy: names of the unsplit model, in its order."""
    before = list(seeded_model(Model).state_dict())
    model = seeded_model(model_class(planned))
    made = make_trainer(
        make_strategy(planned, save_distributed_checkpoint=sharded), dist.get_world_size(), max_epochs=1
    )
    made.fit(model)
    found = made.strategy.lightning_module_state_dict()
    optimizer = made.strategy.optimizer_state(model.optimizers())
    return {
        "rank": dist.get_rank(),
        "names": list(found) == before,
        "empty": [not found, not optimizer],
        "whole": all(not isinstance(value, DTensor) for value in found.values()),
    }


def file_round_trip(planned: bool, folder: str) -> Report:
    """A file that split processes have saved, in an unsplit model; one that an unsplit model has
    saved, in split processes."""
    rank = dist.get_rank()
    path, plain = os.path.join(folder, "split.ckpt"), os.path.join(folder, "plain.ckpt")
    model = seeded_model(model_class(planned))
    made = make_trainer(
        make_strategy(planned, save_distributed_checkpoint=False), dist.get_world_size(), max_epochs=1
    )
    made.fit(model)
    made.save_checkpoint(path)
    weights = made.strategy.lightning_module_state_dict()
    optimizer = made.strategy.optimizer_state(model.optimizers())

    saved = torch.load(path, weights_only=False)
    regular = Plain()
    regular.load_state_dict(saved["state_dict"], strict=True)
    state = torch.optim.AdamW(regular.parameters())
    state.load_state_dict(saved["optimizer_states"][0])
    found: Report = {"rank": rank, "regular": max_difference(regular.body, model.body)}
    if rank == 0:
        found["file"] = all(torch.equal(saved["state_dict"][name], weights[name]) for name in weights)
        found["states"] = _max_state_difference(saved["optimizer_states"][0], optimizer)
        torch.save(
            saved | {"state_dict": regular.state_dict(), "optimizer_states": [state.state_dict()]}, plain
        )
    dist.barrier()

    model = seeded_model(model_class(planned))
    made = make_trainer(
        make_strategy(planned, save_distributed_checkpoint=False), dist.get_world_size(), max_epochs=1
    )
    with torch.no_grad():
        model.body.up.weight.zero_()
    made.fit(model, ckpt_path=plain, weights_only=False)
    restored = made.strategy.lightning_module_state_dict()
    resumed = made.strategy.optimizer_state(model.optimizers())
    if rank == 0:
        found["restored"] = all(torch.equal(restored[name], weights[name]) for name in weights)
        found["states again"] = _max_state_difference(resumed, optimizer)
    return found


class Plain(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = seeded_model(Model).body


def _max_state_difference(some: Report, others: Report) -> float:
    """The largest difference of two optimizers' states by number."""
    assert some["state"].keys() == others["state"].keys(), (some["state"].keys(), others["state"].keys())
    return max(
        float((torch.as_tensor(value) - torch.as_tensor(others["state"][number][name])).abs().max())
        for number, state in some["state"].items()
        for name, value in state.items()
    )


def sharded_checkpoint(planned: bool, folder: str) -> Report:
    """A folder that ModelCheckpoint has written, and the run that goes on from it."""
    keep = ModelCheckpoint(dirpath=folder, save_last=False)
    count, given = dist.get_world_size(), {"enable_checkpointing": True, "callbacks": [keep]}
    model = seeded_model(model_class(planned))
    made = make_trainer(make_strategy(planned), count, max_epochs=1, **given)
    made.fit(model)
    before = {name: full_tensor(p) for name, p in model.named_parameters()}
    path = made.strategy.broadcast(keep.best_model_path)
    rest = torch.load(Path(path, "meta.pt"), weights_only=False)
    started: list[bool] = []

    class Resumed(model_class(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            started.append(
                all(torch.equal(full_tensor(p), before[name]) for name, p in self.named_parameters())
            )

    resumed = Resumed()
    make_trainer(make_strategy(planned), count, max_epochs=2).fit(resumed, ckpt_path=path, weights_only=False)
    steps = len(model.losses)
    losses, body = reference_run(2 * steps)
    return {
        "files": sorted(os.listdir(path)),
        "keys": sorted(
            rest.keys() & {"pytorch-lightning_version", "state_dict", "optimizer_states", "hyper_parameters"}
        ),
        "callbacks": len(rest["callbacks"]),
        "started": started,
        "losses": max_loss_difference(resumed.losses, losses[steps:]),
        "weights": max_difference(resumed.body, body),
    }
