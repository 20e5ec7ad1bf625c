"""What a plan adds to the Trainer: where it is found, what mesh it makes, what it refuses."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import yaml
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.functional import mse_loss

import planc
from planc.lightning import ModelParallelStrategy, PlanAbort
from tests.lightning.ranks import models
from tests.lightning.ranks.models import (
    WIDTH,
    Body,
    Model,
    body_plan,
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
"""Steps of an epoch, of the next one, and of the first one again."""
INPUTS = [f"x=float32[4,{WIDTH}]"]


def training_result(model: Model, made: Any, steps: int) -> Report:
    """How far training was from that of one process, and on which mesh."""
    losses, body = reference_run(steps)
    return {
        "losses": max_loss_difference(model.losses, losses),
        "weights": max_difference(model.body, body),
        "mesh": list(made.strategy.device_mesh.mesh.shape),
        "name": type(made.strategy).__name__,
    }


# ---- where the plan is -----------------------------------------------------------------


def discovered_plan(folder: str, how: str) -> Report:
    """`Trainer(strategy="plan")`: the plan is an attribute of the model, or lies beside its file."""
    stem = os.path.join(folder, "mine")
    text = planc.to_text(body_plan("body."))
    if dist.get_rank() == 0:
        lines = {
            "beside": "",
            "path": "    plan = 'sub/other.plan'\n",
            "text": f"    plan = planc.parse({text!r})\n",
            "data": f"    plan = {planc.to_data(body_plan('body.'))!r}\n",
            "none": "",
        }[how]
        Path(folder, "sub").mkdir()
        Path(f"{stem}.py").write_text(
            f"import planc\nfrom tests.lightning.ranks.models import Model\n\nclass Mine(Model):\n    pass\n{lines}"
        )
        # Only the one that is meant is a plan.
        if how != "none":
            Path(f"{stem}.plan").write_text(text if how == "beside" else "no plan\n")
        Path(folder, "sub", "other.plan").write_text(text)
    dist.barrier()
    spec = importlib.util.spec_from_file_location("mine", f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mine"] = module  # inspect looks there for the file of a class
    spec.loader.exec_module(module)
    model = seeded_model(module.Mine)
    made = make_trainer("plan", dist.get_world_size(), max_steps=2)
    with captured_stderr() as said:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "said": said.getvalue()}
    return training_result(model, made, 2)


def lightning_cli(folder: str, how: str, subcommand: str = "fit") -> Report:
    """LightningCLI with a file of settings: the plan as a path, or written in it."""
    path = os.path.join(folder, "body.plan")
    text = "option wide = false\n" + planc.to_text(body_plan("body.")).replace(
        "colwise", "colwise when wide", 1
    )
    chosen = planc.parse(text)
    given = {
        "plan_options": {"wide": True},
        "data_parallel_size": 1,
        "timeout": "0:02:00",
        "plan_inputs": INPUTS,
    }
    if dist.get_rank() == 0:
        Path(path).write_text(planc.to_text(chosen))
        config = {
            "seed_everything": models.SEED,
            "trainer": {
                "accelerator": "cpu", "devices": dist.get_world_size(), "max_steps": 2, "num_sanity_val_steps": 0,
                "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
                "enable_model_summary": False,
                "strategy": {
                    "class_path": "planc.lightning.ModelParallelStrategy",
                    "init_args": {**given, "plan": path if how == "path" else planc.to_data(chosen)},
                },
            },
            "model": {"rate": 0.05},
        }  # fmt: skip
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
    dist.barrier()
    made = LightningCLI(
        Model, args=[subcommand, "--config", os.path.join(folder, "config.yaml")], save_config_callback=None
    )
    split: Any = made.trainer.strategy
    found = {"timeout": split._timeout.total_seconds(), "up": isinstance(made.model.body.up.weight, DTensor)}
    return training_result(made.model, made.trainer, 2) | found


# ---- environments --------------------------------------------------------------------------


@contextlib.contextmanager
def launcher_environment(**given: str) -> Iterator[None]:
    """The environment of another launcher."""
    torchrun = ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    kept = {name: value for name, value in os.environ.items() if name not in torchrun}
    with mock.patch.dict(os.environ, kept | given, clear=True):
        yield


def launcher(by: str) -> Report:
    """Four processes on two nodes: each size that is left open is Lightning's."""
    rank, count = dist.get_rank(), dist.get_world_size()
    node, local = divmod(rank, 2)
    given = {
        "torchrun": {
            "TORCHELASTIC_RUN_ID": "one", "RANK": str(rank), "LOCAL_RANK": str(local), "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": str(node),
        },
        "slurm": {
            "SLURM_NTASKS": str(count), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local),
            "SLURM_NODEID": str(node), "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train",
            "SLURM_NNODES": "2", "SLURM_NODELIST": "localhost",
        },
    }[by]  # fmt: skip
    with launcher_environment(**given):
        model = seeded_model(Model)
        made = make_trainer(make_strategy(True), 2, num_nodes=2, max_steps=2)
        made.fit(model)
        environment = type(made.strategy.cluster_environment).__name__
        return training_result(model, made, 2) | {
            "environment": environment,
            "rank": made.global_rank == rank,
        }


# ---- meshes ----------------------------------------------------------------------------------


def plan_mesh(text: str, fsdp: str, sizes: Report) -> Report:
    """A plan with a mesh of its own. What is said where it does not fit, else how it trains."""
    model = seeded_model(Model)
    chosen = body_plan("body.", text, fsdp)
    if "tp" not in text:
        chosen = planc.parse(planc.to_text(chosen).partition("tensor tp")[0] + f"fsdp {fsdp} {{ root }}\n")
    made = make_trainer(ModelParallelStrategy(plan=chosen, **sizes), dist.get_world_size(), max_steps=4)
    with captured_stderr() as said:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "said": said.getvalue()}
    return training_result(model, made, 4) | {"sampler": made.distributed_sampler_kwargs}


@contextlib.contextmanager
def captured_stderr() -> Iterator[io.StringIO]:
    """What is written to stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        yield said


# ---- which part -----------------------------------------------------------------------------


def submodule_plan(target: str | None, inputs: list[str] | None) -> Report:
    """A plan of a submodule, with and without its name."""
    model = seeded_model(Model)
    given = {"plan": body_plan(), "plan_target": target, "plan_inputs": inputs}
    made = make_trainer(ModelParallelStrategy(**given), dist.get_world_size(), max_steps=2)
    before = {name: (id(p), p.detach().clone()) for name, p in model.named_parameters()}
    with captured_stderr() as said:
        try:
            made.fit(model)
        except PlanAbort as stop:
            same = all(
                id(p) == before[n][0] and torch.equal(p, before[n][1]) for n, p in model.named_parameters()
            )
            return {
                "reasons": stop.reasons,
                "said": said.getvalue(),
                "same": same,
                "codes": [d.law.code for d in stop.diagnostics],
            }
    return training_result(model, made, 2)


class PartlyPlanned(Model):
    """A part that the plan splits, and one beside it that the user does."""

    def __init__(self) -> None:
        super().__init__()
        self.beside = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.beside(self.body(x))

    def configure_model(self) -> None:
        mesh = self.device_mesh["data_parallel"]
        if mesh.size() > 1:
            fully_shard(self.beside, mesh=mesh)


def unplanned_part(shard: bool) -> Report:
    """A plan of one part; the other is split by hand, or drifts apart and is refused."""
    kind = (
        PartlyPlanned if shard else type("Bare", (PartlyPlanned,), {"configure_model": Model.configure_model})
    )
    model = seeded_model(kind)
    torch.manual_seed(models.SEED)
    reference = PartlyPlanned()
    optimizer = reference.configure_optimizers()
    for step in range(3):
        x, y = models.dataset()[models.batch_indices(step)]
        mse_loss(reference(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    given = {"plan": body_plan(), "plan_target": "body", "tensor_parallel_size": 2, "plan_inputs": INPUTS}
    made = make_trainer(ModelParallelStrategy(**given), dist.get_world_size(), max_steps=3)
    with captured_stderr() as said:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "said": said.getvalue()}
    return {"weights": max_difference(model, reference)}


# ---- meta ---------------------------------------------------------------------------------------


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


# ---- one after the other ------------------------------------------------------------------------------


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
    """What the model was made with is saved, and makes it again without planc."""
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


# ---- optimizers --------------------------------------------------------------------------------------------


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


# ---- wrong plans -----------------------------------------------------------------------------------------


def rejected_plan(where: str) -> Report:
    """A plan that is refused, on all ranks or on one: what is said, and that all go on to stop."""
    text = planc.to_text(body_plan("body."))
    text = {
        "refuted": text.replace("rowwise", "colwise"),
        "syntax": text.replace("tensor tp {", "tensor tp {{"),
        "name": text.replace("body.up", "body.upp"),
        "raises": text,
        "differs": text,
    }[where]
    model = seeded_model(Model)
    if dist.get_rank() == 2 and where in ("raises", "differs"):
        model.body.up = nn.Linear(WIDTH, 6 * WIDTH)
        if where == "differs":
            model.body.gate, model.body.down = nn.Linear(WIDTH, 6 * WIDTH), nn.Linear(6 * WIDTH, WIDTH)
    made = make_trainer(ModelParallelStrategy(plan=write_plan(text)), dist.get_world_size(), max_steps=1)
    with captured_stderr() as said:
        try:
            made.fit(model)
        except PlanAbort as stop:
            code = stop.code
        else:
            code = None
    untouched = not any(isinstance(p, DTensor) for p in model.parameters())
    return {"code": code, "said": said.getvalue(), "untouched": untouched}


def write_plan(text: str) -> str:
    """A plan in a file that only the first rank can read."""
    if dist.get_rank():
        return "/nowhere/mine.plan"
    path = os.path.join(tempfile.mkdtemp(), "mine.plan")
    Path(path).write_text(text)
    return path
