"""Training under a plan: models on the meta device, several runs, several optimizers."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import mse_loss

from tests.lightning.ranks import models
from tests.lightning.ranks.models import (
    Body,
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
RUNS = (range(4), range(4, 8), range(4))
"""The steps of one epoch, of the next, and of the first once more."""


class DeferredModel(Model):
    """Made in configure_model, on no device."""

    def __init__(self) -> None:
        super().__init__()
        del self.body

    def configure_model(self) -> None:
        if not hasattr(self, "body"):
            with torch.device("meta"):
                self.body = Body()


def deferred_init() -> Report:
    """The numbers of a model made on the meta device are those of the unsplit one of the same seed."""
    torch.manual_seed(11)
    reference = Body()
    seen: list[float] = []

    class Watched(DeferredModel):
        def on_train_start(self) -> None:
            seen.append(max_difference(self.body, reference))

    torch.manual_seed(11)
    with mock.patch.dict(os.environ, {"PL_GLOBAL_SEED": "11"}):
        make_trainer(make_strategy(True, tensor_parallel_size=2), dist.get_world_size(), max_steps=1).fit(
            Watched()
        )
    return {"weights": seen}


def repeated_runs(late: bool) -> Report:
    """fit, test, validate, predict, fit on with one Trainer; test and fit with another one.

    A second `fit` goes on from the first one's weights, with an optimizer of its own."""
    with mock.patch.dict(os.environ, {"PL_GLOBAL_SEED": str(models.SEED)}):
        model, count = seeded_model(DeferredModel if late else Model), dist.get_world_size()
        split = {"tensor_parallel_size": 2}
        made = make_trainer(make_strategy(True, **split), count, max_epochs=1)
        made.fit(model)
        x, y = models.dataset()[:]
        once, twice, thrice = (reference_run(*runs)[1] for runs in (RUNS[:1], RUNS[:2], RUNS))
        with torch.no_grad():
            first, second = float(mse_loss(once(x), y)), float(mse_loss(twice(x), y))
            outputs = once(x)
        found = {
            "tested": abs(made.test(model, verbose=False)[0]["test"] - first),
            "validated": abs(made.validate(model, verbose=False)[0]["val"] - first),
        }
        predicted: Any = made.predict(model)
        data = made.strategy.device_mesh["data_parallel"]
        own = outputs[data.get_local_rank() :: data.size()]
        found["predicted"] = float((torch.cat([full_tensor(one) for one in predicted]) - own).abs().max())
        assert made.fit_loop.max_epochs == 1
        made.fit_loop.max_epochs = 2
        made.fit(model)
        found["fit on"] = max_difference(model.body, twice)
        other = make_trainer(make_strategy(True, **split), count, max_epochs=1)
        found["tested by another"] = abs(other.test(model, verbose=False)[0]["test"] - second)
        other.fit(model)
        found["fit by another"] = max_difference(model.body, thrice)
    return found


def hyperparameters(folder: str) -> Report:
    """The hyperparameters are saved, and build the model without planc."""
    path = os.path.join(folder, "full.ckpt")
    model = seeded_model(Model)
    made = make_trainer(
        make_strategy(True, save_distributed_checkpoint=False), dist.get_world_size(), max_steps=2
    )
    made.fit(model)
    made.save_checkpoint(path)
    loaded = Model.load_from_checkpoint(path, rate=0.5)
    plain = Model.load_from_checkpoint(path)
    return {
        "weights": max_difference(loaded.body, model.body),
        "rates": [loaded.hparams["rate"], plain.hparams["rate"]],
    }


class ManyOptimizers(Model):
    """Two optimizers, and so a loop of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        some = [*self.body.norm.parameters(), *self.body.up.parameters()]
        others = [*self.body.gate.parameters(), *self.body.down.parameters()]
        optimizers = [torch.optim.AdamW(some, lr=0.05), torch.optim.SGD(others, lr=0.1, momentum=0.9)]
        return optimizers, [torch.optim.lr_scheduler.StepLR(optimizers[0], 1, 0.5)]

    def training_step(self, batch: list[Tensor], index: int) -> None:
        first, second = self.optimizers()
        loss = super().training_step(batch, index)
        first.zero_grad()
        second.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(second, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
        first.step()
        second.step()
        self.lr_schedulers().step()


def multiple_optimizers(folder: str) -> Report:
    """Manual optimization with two optimizers; saved after an epoch, and gone on with."""
    torch.manual_seed(models.SEED)
    reference = ManyOptimizers()
    (first, second), (schedule,) = reference.configure_optimizers()
    losses = []
    for step in range(8):
        x, y = models.dataset()[models.batch_indices(step)]
        loss = mse_loss(reference(x), y)
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in second.param_groups for p in group["params"]], 0.1)
        for optimizer in (first, second):
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
    model, count = seeded_model(ManyOptimizers), dist.get_world_size()
    given = {"tensor_parallel_size": 2}
    make_trainer(make_strategy(True, **given), count, max_epochs=2).fit(model)
    found = {"losses": max_loss_difference(model.losses, losses), "weights": max_difference(model, reference)}

    model = seeded_model(ManyOptimizers)
    made = make_trainer(make_strategy(True, **given), count, max_epochs=1)
    made.fit(model)
    path = os.path.join(folder, "half")
    made.save_checkpoint(path)
    resumed = ManyOptimizers()
    make_trainer(make_strategy(True, **given), count, max_epochs=2).fit(
        resumed, ckpt_path=path, weights_only=False
    )
    found |= {
        "resumed": max_difference(resumed, reference),
        "resumed losses": max_loss_difference(resumed.losses, losses[4:]),
    }
    return found
