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

from tests.lightning.conform_models import (
    ByHand,
    Model,
    apart,
    full,
    furthest,
    seeded,
    strategy,
    trainer,
    whole,
)

Found = dict[str, Any]


def kind(planned: bool) -> type[Model]:
    return Model if planned else ByHand


def meshes(planned: bool, sizes: list[int] | None) -> Found:
    """What `configure_model` sees of the mesh."""
    count = dist.get_world_size()
    seen: Found = {}

    class Looks(kind(planned)):  # type: ignore[misc]
        def configure_model(self) -> None:
            mesh = self.device_mesh
            seen.update(type=mesh.device_type, names=mesh.mesh_dim_names, shape=list(mesh.mesh.shape))
            super().configure_model()

    given = {} if sizes is None else {"data_parallel_size": sizes[0], "tensor_parallel_size": sizes[1]}
    made = trainer(strategy(planned, **given), count, max_steps=1)
    made.fit(seeded(Looks))
    return {**seen, "sampler": made.distributed_sampler_kwargs, "rank": dist.get_rank()}


def trains(planned: bool, dp: int, tp: int) -> Found:
    """Four steps, compared with one process; and what a user sees of the split model meanwhile."""
    seen: Found = {}

    class Watched(kind(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            parameters = list(self.parameters())
            held = [p for group in self.optimizers().param_groups for p in group["params"]]
            loader = self.trainer.train_dataloader
            seen.update(
                split=[name for name, p in self.named_parameters() if isinstance(p, DTensor)],
                optimized=set(map(id, held)) == set(map(id, parameters)),
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

    model = seeded(Watched)
    given = {"data_parallel_size": dp, "tensor_parallel_size": tp}
    trainer(strategy(planned, **given), dp * tp, max_steps=4).fit(model)
    losses, body = whole(4)
    return {**seen, "losses": apart(model.losses, losses), "weights": furthest(model.body, body)}


def metrics(planned: bool) -> Found:
    """A metric has no parameters, and is part of the model."""

    class Measured(kind(planned)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.metric = MulticlassAccuracy(num_classes=3, average="micro")

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            # Each rank is right as often as its number says, of four.
            right = torch.arange(4) < dist.get_rank()
            self.metric(torch.where(right, 1, 2), torch.ones(4, dtype=torch.int64))
            self.log("metric", self.metric, on_epoch=True, on_step=False)
            return super().training_step(batch, index)

    model = seeded(Measured)
    made = trainer(strategy(planned), dist.get_world_size(), max_epochs=1)
    made.fit(model)
    return {"device": str(model.metric.device), "metric": float(made.callback_metrics["metric"])}


def contexts(planned: bool, precision: str, empty: bool) -> Found:
    """Where and in which type a model is made, and where and in which type it is trained."""
    seen: Found = {}

    class Watched(kind(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            seen["trained"] = _forms(self)
            seen["optimized"] = str(
                self.optimizers(use_pl_optimizer=False).param_groups[0]["params"][0].device
            )

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return self(batch[0].to(self.body.up.weight.dtype)).sum()

    made = trainer(strategy(planned), dist.get_world_size(), max_steps=1, precision=precision)
    with made.init_module(empty_init=empty):
        model = Watched()
    seen["made"] = _forms(model)
    made.fit(model)
    return seen


def _forms(model: torch.nn.Module) -> list[str]:
    return sorted({f"{p.device.type} {str(p.dtype).removeprefix('torch.')}" for p in model.parameters()})


def states(planned: bool, sharded: bool) -> Found:
    """The state dict of the strategy: names of the unsplit model, in its order."""
    before = list(seeded(Model).state_dict())
    model = seeded(kind(planned))
    made = trainer(
        strategy(planned, save_distributed_checkpoint=sharded), dist.get_world_size(), max_epochs=1
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


def to_and_fro(planned: bool, folder: str) -> Found:
    """A file that split processes have saved, in an unsplit model; one that an unsplit model has
    saved, in split processes."""
    rank = dist.get_rank()
    path, plain = os.path.join(folder, "split.ckpt"), os.path.join(folder, "plain.ckpt")
    model = seeded(kind(planned))
    made = trainer(strategy(planned, save_distributed_checkpoint=False), dist.get_world_size(), max_epochs=1)
    made.fit(model)
    made.save_checkpoint(path)
    weights = made.strategy.lightning_module_state_dict()
    optimizer = made.strategy.optimizer_state(model.optimizers())

    saved = torch.load(path, weights_only=False)
    regular = Plain()
    regular.load_state_dict(saved["state_dict"], strict=True)
    state = torch.optim.AdamW(regular.parameters())
    state.load_state_dict(saved["optimizer_states"][0])
    found: Found = {"rank": rank, "regular": furthest(regular.body, model.body)}
    if rank == 0:
        found["file"] = all(torch.equal(saved["state_dict"][name], weights[name]) for name in weights)
        found["states"] = _states_apart(saved["optimizer_states"][0], optimizer)
        torch.save(
            saved | {"state_dict": regular.state_dict(), "optimizer_states": [state.state_dict()]}, plain
        )
    dist.barrier()

    model = seeded(kind(planned))
    made = trainer(strategy(planned, save_distributed_checkpoint=False), dist.get_world_size(), max_epochs=1)
    with torch.no_grad():
        model.body.up.weight.zero_()
    made.fit(model, ckpt_path=plain, weights_only=False)
    restored = made.strategy.lightning_module_state_dict()
    again = made.strategy.optimizer_state(model.optimizers())
    if rank == 0:
        found["restored"] = all(torch.equal(restored[name], weights[name]) for name in weights)
        found["states again"] = _states_apart(again, optimizer)
    return found


class Plain(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = seeded(Model).body


def _states_apart(some: Found, others: Found) -> float:
    """The largest difference of two optimizers' states by number."""
    assert some["state"].keys() == others["state"].keys(), (some["state"].keys(), others["state"].keys())
    return max(
        float((torch.as_tensor(value) - torch.as_tensor(others["state"][number][name])).abs().max())
        for number, state in some["state"].items()
        for name, value in state.items()
    )


def sharded(planned: bool, folder: str) -> Found:
    """A folder that ModelCheckpoint has written, and the run that goes on from it."""
    keep = ModelCheckpoint(dirpath=folder, save_last=False)
    count, given = dist.get_world_size(), {"enable_checkpointing": True, "callbacks": [keep]}
    model = seeded(kind(planned))
    made = trainer(strategy(planned), count, max_epochs=1, **given)
    made.fit(model)
    before = {name: full(p) for name, p in model.named_parameters()}
    path = made.strategy.broadcast(keep.best_model_path)
    rest = torch.load(Path(path, "meta.pt"), weights_only=False)
    started: list[bool] = []

    class Resumed(kind(planned)):  # type: ignore[misc]
        def on_train_start(self) -> None:
            started.append(all(torch.equal(full(p), before[name]) for name, p in self.named_parameters()))

    again = Resumed()
    trainer(strategy(planned), count, max_epochs=2).fit(again, ckpt_path=path, weights_only=False)
    steps = len(model.losses)
    losses, body = whole(2 * steps)
    return {
        "files": sorted(os.listdir(path)),
        "keys": sorted(
            rest.keys() & {"pytorch-lightning_version", "state_dict", "optimizer_states", "hyper_parameters"}
        ),
        "callbacks": len(rest["callbacks"]),
        "started": started,
        "losses": apart(again.losses, losses[steps:]),
        "weights": furthest(again.body, body),
    }
