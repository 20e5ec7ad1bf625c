"""What fails or misleads in Lightning's own strategy, under a plan, on the processes of a group."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import mse_loss
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset, IterableDataset

import planc
from planc.lightning import ModelParallelStrategy, PlanAbort, grad_norm
from tests.lightning.ranks.models import (
    BODY,
    GLOBAL_BATCH,
    RATE,
    WIDTH,
    Body,
    Model,
    batch_indices,
    dataset,
    full_tensor,
    make_strategy,
    make_trainer,
    max_difference,
    max_loss_difference,
    seeded_model,
)

Report = dict[str, Any]
SIZES = {"data_parallel_size": 2, "tensor_parallel_size": 2}


def split_strategy(**given: Any) -> ModelParallelStrategy:
    return make_strategy(planned=True, **SIZES, **given)


def gather_objects(found: Any) -> list[Any]:
    """What all ranks have, in their order."""
    table: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(table, found)
    return table


# ---- random numbers and batches ------------------------------------------------------


class RandomDataset(Dataset[Tensor]):
    """Samples that a worker draws anew."""

    def __len__(self) -> int:
        return GLOBAL_BATCH

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((WIDTH,), random.random())


class Stream(IterableDataset[Tensor]):
    """Samples of a generator; by default of the process's own."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed

    def __iter__(self) -> Iterator[Tensor]:
        own = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        for _ in range(GLOBAL_BATCH):
            yield torch.randn(WIDTH, generator=own)


class RecordingModel(Model):
    """Remembers what its step was given."""

    def __init__(self, data: Any, workers: int = 0) -> None:
        super().__init__()
        self.data, self.workers = data, workers
        self.seen: list[Any] = []

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, batch_size=2, num_workers=self.workers)

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        self.seen.append([batch.tolist(), torch.rand(()).item()])
        return self(batch).sum()


def rng_streams(workers: int, seeded_: bool) -> Report:
    """What the ranks draw, with the seeds of `seed_everything` or with none."""
    torch.manual_seed(dist.get_rank())
    random.seed(dist.get_rank())
    if seeded_:
        seed_everything(3, workers=True)
    model = RecordingModel(RandomDataset() if workers else Stream(None), workers)
    make_trainer(split_strategy(), 4, max_epochs=1, use_distributed_sampler=False).fit(model)
    weights = gather_objects([full_tensor(p).tolist() for p in model.parameters()])
    seen = gather_objects(model.seen)
    return {
        "weights": all(own == weights[0] for own in weights),
        "in groups": [seen[0] == seen[1], seen[2] == seen[3]],
        "between": [step != other for step, other in zip(seen[0], seen[2], strict=True)],
        "batches between": [step[0] != other[0] for step, other in zip(seen[0], seen[2], strict=True)],
    }


def repeated_stream() -> list[str]:
    """What is said of a stream that every data rank sees from its beginning."""
    with warnings.catch_warnings(record=True) as kept:
        warnings.simplefilter("always")
        make_trainer(split_strategy(), 4, max_steps=1).fit(RecordingModel(Stream(5)))
    return [str(one.message) for one in kept if "planc" in str(one.message)]


def diverging_batches() -> Report:
    """Different batches in a tensor group."""
    message = io.StringIO()
    model = RecordingModel(Stream(dist.get_rank()))
    with contextlib.redirect_stderr(message):
        stopped = _stop_reasons(lambda: make_trainer(split_strategy(), 4, max_steps=1).fit(model))
    return {"stopped": stopped, "message": message.getvalue()}


def _stop_reasons(work: Any) -> str:
    try:
        work()
    except PlanAbort as stop:
        return " ".join(stop.reasons)
    return "went on"


# ---- steps ---------------------------------------------------------------------------


class PartlySplit(Model):
    """With a parameter that no plan covers, so that gradients are of several kinds."""

    def __init__(self, optimizer: str) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH))
        self.kind = optimizer
        self.norms: list[dict[str, float]] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = mse_loss(self.body(batch[0]) * self.gain, batch[1])
        self.losses.append(float(self.trainer.strategy.reduce(loss.detach().clone())))
        return loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        # Of one group, as a user sees it, a new rate holds for all of its parameters.
        assert len(optimizer.param_groups) == 1
        optimizer.param_groups[0]["lr"] = RATE / 2
        self.norms.append({name: float(norm) for name, norm in grad_norm(self, 2).items()})

    def configure_optimizers(self) -> Any:
        return optimizer_of(self.kind, self.parameters())


def optimizer_of(kind: str, parameters: Any) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=RATE)
    return torch.optim.AdamW(parameters, lr=RATE, eps=1e-3, **({kind: True} if kind else {}))


TENSOR_ONLY = BODY.replace("mesh dp, tp", "mesh tp").replace("fsdp dp { root }\n", "")


def clipped_gradients(optimizer: str, by: str) -> Report:
    """Four clipped steps on plain parameters and split ones, against plain torch."""
    torch.manual_seed(7)
    model = PartlySplit(optimizer)
    made = ModelParallelStrategy(
        plan=planc.parse(TENSOR_ONLY), plan_target="body", plan_inputs=["x=float32[4,8]"]
    )
    limit = 0.05 if by == "norm" else 0.003
    make_trainer(made, 2, max_steps=4, gradient_clip_val=limit, gradient_clip_algorithm=by).fit(model)

    torch.manual_seed(7)
    body, gain = Body(), nn.Parameter(torch.ones(WIDTH))
    params = [gain, *body.parameters()]
    needed = optimizer_of(optimizer, params)
    losses, norms, changed = [], [], False
    for step in range(4):
        x, y = dataset()[batch_indices(step)]
        loss = mse_loss(body(x) * gain, y)
        needed.zero_grad()
        loss.backward()
        norms.append(float(torch.stack([p.grad.norm() for p in params]).norm()))  # type: ignore[union-attr]
        before = [p.grad.clone() for p in params]  # type: ignore[union-attr]
        if by == "norm":
            nn.utils.clip_grad_norm_(params, limit)
        else:
            nn.utils.clip_grad_value_(params, limit)
        changed |= any(not torch.equal(p.grad, old) for p, old in zip(params, before))  # type: ignore[arg-type]
        needed.param_groups[0]["lr"] = RATE / 2
        needed.step()
        losses.append(loss.item())
    return {
        "plain": not isinstance(model.gain, DTensor),
        "split": isinstance(model.body.up.weight, DTensor),
        "clipped": changed,
        "losses": max_loss_difference(model.losses, losses),
        "weights": max_difference(model.body, body),
        "gain": float((model.gain - gain).abs().max()),
        "norms": max_loss_difference([norm["grad_2.0_norm_total"] for norm in model.norms], norms),
        "named": len(model.norms[0]) == len(params) + 1,
    }


class ReductionCounter(TorchDispatchMode):
    """Counts collectives that reduce gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "reduce_scatter" in str(func)
        return func(*args, **(kwargs or {}))


def accumulated_gradients() -> Report:
    """Six micro-batches, two to a step."""

    class MicroBatched(Model):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return mse_loss(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return optimizer_of("sgd", self.parameters())

        def loader(self) -> DataLoader[Any]:
            return DataLoader(dataset(), batch_size=1)

        train_dataloader = loader

    model = seeded_model(MicroBatched)
    with ReductionCounter() as counts:
        make_trainer(split_strategy(), 4, max_steps=3, accumulate_grad_batches=2, limit_train_batches=6).fit(
            model
        )
    torch.manual_seed(7)
    body = Body()
    needed = optimizer_of("sgd", body.parameters())
    for step in range(3):
        x, y = dataset()[batch_indices(step)]
        mse_loss(body(x), y).backward()
        needed.step()
        needed.zero_grad()
    return {"reduced": counts.count, "weights": max_difference(model.body, body)}


def logged_metrics() -> Report:
    """A split number and a sum of all ranks in a log."""

    class Logs(Model):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            self.log("split", self.body.up.weight.sum().detach(), sync_dist=True)
            self.log("whole", full_tensor(self.body.up.weight).sum())
            self.log("samples", float(len(batch[0])), sync_dist=True, reduce_fx="sum")
            return super().training_step(batch, index)

    model = seeded_model(Logs)
    made = make_trainer(split_strategy(), 4, max_steps=1)
    made.fit(model)
    found = {name: float(value) for name, value in made.callback_metrics.items()}
    return {**found, "plain": not any(isinstance(v, DTensor) for v in made.callback_metrics.values())}


# ---- what is refused ------------------------------------------------------------------


def unsupported_trainer_parts() -> Report:
    """Parts of a Trainer that cannot do their work, and settings that contradict each other."""
    half = planc.parse(BODY.replace("fsdp dp { root }", "fsdp dp { params: bf16\n root }").replace(" up ", " body.up ").replace(" gate ", " body.gate ").replace(" down ", " body.down "))  # fmt: skip
    given: dict[str, tuple[Any, Report]] = {
        "averaging": (split_strategy(), {"callbacks": [EMAWeightAveraging()]}),
        "checkpoint io": (split_strategy(), {"plugins": [AsyncCheckpointIO()]}),
        "precision": (ModelParallelStrategy(plan=half, **SIZES), {"precision": "16-true"}),
    }
    found = {}
    for name, (made, more) in given.items():
        model = seeded_model(Model)
        with contextlib.redirect_stderr(io.StringIO()):
            message = _stop_reasons(
                lambda made=made, more=more, model=model: make_trainer(made, 4, max_steps=1, **more).fit(
                    model
                )
            )
        found[name] = [message, not any(isinstance(p, DTensor) for p in model.parameters())]
    return found
