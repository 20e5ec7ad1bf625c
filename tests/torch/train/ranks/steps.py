"""Steps of optimizers, scaled losses and micro-batches, against the unsplit model."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import SGD, Adafactor, AdamW, Optimizer

from planc.torch.train.grad_scaler import ShardedGradScaler
from planc.torch.train.no_sync import no_sync
from planc.torch.train.optimizer_step import step_per_mesh
from tests.torch.train.ranks.partly_split import (
    CollectiveRecorder,
    PartlySplitModel,
    Sizes,
    compute_loss,
    full_tensor,
    partly_split,
    relative_error,
    worst_error,
)

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    # An entry without a gradient but for rounding would take full steps: epsilon is far above that.
    "AdamW": lambda p: AdamW(p, lr=0.1, eps=1e-3),
    "AdamW foreach": lambda p: AdamW(p, lr=0.1, eps=1e-3, foreach=True),
    "AdamW fused": lambda p: AdamW(p, lr=0.1, eps=1e-3, fused=True),
    "SGD foreach": lambda p: SGD(p, lr=0.1, momentum=0.9, foreach=True),
}


def optimizer_steps(sizes: Sizes) -> dict[str, Any]:
    """How far weights and states are off after steps, and what else differs."""
    wrong: dict[str, float] = {}
    for name, make in OPTIMIZERS.items():
        whole, model, _ = partly_split(sizes)
        needed, got = make(_param_groups(whole)), make(_param_groups(model))
        for step in range(3):
            for one, optimizer in ((whole, needed), (model, got)):
                optimizer.zero_grad()
                compute_loss(one, step).backward()
                with step_per_mesh(optimizer):
                    optimizer.step()
        wrong[f"weights, {name}"] = worst_error(model, whole)
        state, other = got.state_dict(), needed.state_dict()
        assert state["param_groups"] == other["param_groups"]
        assert list(state["state"]) == list(other["state"])
        for number, entry in other["state"].items():
            for key, value in entry.items():
                wrong[f"{key} of {number}, {name}"] = relative_error(state["state"][number][key], value)
    return {"wrong": wrong, "note": _foreach_note(sizes), "counted": _counted(sizes)}


def _param_groups(model: PartlySplitModel) -> list[dict[str, Any]]:
    """Two groups, each of plain parameters and of split ones."""
    bias = [p for name, p in model.named_parameters() if name.endswith("bias")]
    rest = [p for name, p in model.named_parameters() if not name.endswith("bias")]
    return [{"params": rest, "weight_decay": 0.1}, {"params": bias, "weight_decay": 0.0}]


def _foreach_note(sizes: Sizes) -> dict[str, Any]:
    """What is said of an optimizer that knows no DTensors, and whether its groups are as before."""
    _, model, _ = partly_split(sizes)
    optimizer = Adafactor(_param_groups(model), foreach=True)
    compute_loss(model).backward()
    before = [id(group) for group in optimizer.param_groups]
    try:
        with step_per_mesh(optimizer):
            optimizer.step()
    except (RuntimeError, NotImplementedError) as bad:
        message = getattr(bad, "__notes__", [])
        return {"message": message, "same": before == [id(group) for group in optimizer.param_groups]}
    return {"message": [], "same": True}


class _Counting(SGD):
    """Counts its steps in its groups, as some do."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
        return super().step(closure)


def _counted(sizes: Sizes) -> list[int]:
    _, model, _ = partly_split(sizes)
    optimizer = _Counting(_param_groups(model), lr=0.1, foreach=True)
    compute_loss(model).backward()
    for _ in range(2):
        with step_per_mesh(optimizer):
            optimizer.step()
    return [group["k"] for group in optimizer.param_groups]


def scaled_steps(sizes: Sizes, fused: bool, where: int) -> dict[str, Any]:
    """A step with an infinite entry on one rank, then one without: what becomes of the scale and of weights."""
    whole, model, _ = partly_split(sizes)
    start = {name: full_tensor(p).clone() for name, p in model.named_parameters()}
    scaler = ShardedGradScaler("cpu", init_scale=8.0, growth_interval=1)
    optimizer = AdamW(model.parameters(), lr=0.1, eps=1e-3, foreach=not fused, fused=fused)
    scales = []
    for step in range(2):
        optimizer.zero_grad()
        scaler.scale(compute_loss(model)).backward()
        grad: Any = model.body.blocks[1].up.weight.grad
        if step == 0 and dist.get_rank() == where:
            grad.to_local().view(-1)[0] = math.inf
        with step_per_mesh(optimizer):
            scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        if step == 0:
            skipped = all(torch.equal(full_tensor(p), start[name]) for name, p in model.named_parameters())
    compute_loss(whole).backward()
    AdamW(whole.parameters(), lr=0.1, eps=1e-3).step()
    return {"scales": scales, "skipped": skipped, "wrong": {"weights": worst_error(model, whole)}}


def unscale_half() -> str:
    """Gradients that cannot be unscaled."""
    parameter = nn.Parameter(torch.ones(2, dtype=torch.float16))
    scaler, optimizer = ShardedGradScaler("cpu"), SGD([parameter], lr=0.1)
    scaler.scale(parameter.sum()).backward()
    try:
        scaler.unscale_(optimizer)
    except ValueError as bad:
        return str(bad)
    return "nothing"


def accumulated_steps(sizes: Sizes | None) -> dict[str, Any]:
    """Three micro-batches: which of them reduce, and the gradients. Without sizes: units by hand."""
    whole, model = _fsdp_by_hand() if sizes is None else partly_split(sizes)[:2]
    compute_loss(model).backward()  # sets up what FSDP sets up once
    once = _reductions(model, 0)
    model.zero_grad()
    found = []
    for step in range(3):
        compute_loss(whole, step).backward()
        with no_sync(model, enabled=step < 2), no_sync(model, enabled=step < 1):
            found.append(_reductions(model, step))
    wrong = worst_error(model, whole, gradients=True)
    with contextlib.suppress(ZeroDivisionError), no_sync(model):
        _ = 1 / 0
    return {"once": once, "found": found, "after": _reductions(model, 0), "wrong": {"gradients": wrong}}


def _fsdp_by_hand() -> tuple[PartlySplitModel, PartlySplitModel]:
    torch.manual_seed(0)
    whole = PartlySplitModel()
    model, mesh = copy.deepcopy(whole), init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b"))
    fully_shard(model.body.blocks[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return whole, model


def _reductions(model: nn.Module, step: int) -> int:
    with CollectiveRecorder() as sent:
        compute_loss(model, step).backward()
    return sent.reductions
