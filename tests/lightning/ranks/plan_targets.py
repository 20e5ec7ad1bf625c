"""Plans of a part of the model, and plans that planc rejects."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.functional import mse_loss

import planc
from planc.lightning import ModelParallelStrategy, PlanAbort
from tests.lightning.ranks import models
from tests.lightning.ranks.models import (
    WIDTH,
    Model,
    body_plan,
    make_trainer,
    max_difference,
    seeded_model,
)
from tests.lightning.ranks.plan_runs import INPUTS, captured_stderr, training_result

Report = dict[str, Any]


def submodule_plan(target: str | None, inputs: list[str] | None) -> Report:
    """A plan of a submodule, with and without its name."""
    model = seeded_model(Model)
    given = {"plan": body_plan(), "plan_target": target, "plan_inputs": inputs}
    made = make_trainer(ModelParallelStrategy(**given), dist.get_world_size(), max_steps=2)
    before = {name: (id(p), p.detach().clone()) for name, p in model.named_parameters()}
    with captured_stderr() as message:
        try:
            made.fit(model)
        except PlanAbort as stop:
            same = all(
                id(p) == before[n][0] and torch.equal(p, before[n][1]) for n, p in model.named_parameters()
            )
            return {
                "reasons": stop.reasons,
                "message": message.getvalue(),
                "same": same,
                "codes": [d.law.code for d in stop.diagnostics],
            }
    return training_result(model, made, 2)


class PartlyPlanned(Model):
    """A part that the plan splits, and one beside it that the user does."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.extra(self.body(x))

    def configure_model(self) -> None:
        mesh = self.device_mesh["data_parallel"]
        if mesh.size() > 1:
            fully_shard(self.extra, mesh=mesh)


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
    with captured_stderr() as message:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "message": message.getvalue()}
    return {"weights": max_difference(model, reference)}


class Before(Model):
    """A trained layer before the part that the plan covers; `noisy`: with other numbers on each rank."""

    def __init__(self, noisy: bool = False) -> None:
        super().__init__()
        self.pre, self.noisy = nn.Linear(WIDTH, WIDTH), noisy

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        return self.body(x.roll(dist.get_rank(), -1) if self.noisy else x)


def part_before_the_target(noisy: bool) -> Report:
    """Training of a layer before the target: its gradient's distance from one process's, or the report."""
    torch.manual_seed(models.SEED)
    model = Before(noisy)
    torch.manual_seed(models.SEED)
    reference = Before()
    optimizer = reference.configure_optimizers()
    for step in range(3):
        x, y = models.dataset()[models.batch_indices(step)]
        mse_loss(reference(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    given = {"plan": body_plan(), "plan_target": "body", "tensor_parallel_size": 2, "plan_inputs": INPUTS}
    made = make_trainer(ModelParallelStrategy(**given), dist.get_world_size(), max_steps=3)
    try:
        made.fit(model)
    except PlanAbort as stop:
        return {"reasons": stop.reasons, "steps": made.global_step}
    return {"weights": max_difference(model, reference)}


def rejected_plan(where: str) -> Report:
    """A plan that is refused, on all ranks or on one: what is said, and that all go on to stop."""
    text = planc.to_text(body_plan("body."))
    text = {
        "refuted": text.replace("rowwise", "colwise"),
        "syntax": text.replace("tensor tp {", "tensor tp {{"),
        "name": text.replace("body.up", "body.upp"),
        "raises": text,
        "differs": text,
        "weights": text,
    }[where]
    model = seeded_model(Model)
    if dist.get_rank() == 2 and where in ("raises", "differs"):
        model.body.up = nn.Linear(WIDTH, 6 * WIDTH)
        if where == "differs":
            model.body.gate, model.body.down = nn.Linear(WIDTH, 6 * WIDTH), nn.Linear(6 * WIDTH, WIDTH)
    if dist.get_rank() == 2 and where == "weights":
        model.body.up.weight.data[0, 0] += 1
    strategy = ModelParallelStrategy(
        plan=write_plan(text), sync="check" if where == "weights" else "broadcast"
    )
    made = make_trainer(strategy, dist.get_world_size(), max_steps=1)
    with captured_stderr() as message:
        try:
            made.fit(model)
        except PlanAbort as stop:
            code = stop.code
        else:
            code = None
    untouched = not any(isinstance(p, DTensor) for p in model.parameters())
    return {"code": code, "message": message.getvalue(), "untouched": untouched}


def write_plan(text: str) -> str:
    """A plan in a file that only the first rank can read."""
    if dist.get_rank():
        return "/nowhere/mine.plan"
    path = os.path.join(tempfile.mkdtemp(), "mine.plan")
    Path(path).write_text(text)
    return path
