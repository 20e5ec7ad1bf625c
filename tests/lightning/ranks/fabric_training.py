"""Training with Fabric, with a plan and with `parallelize_fn`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import mse_loss
from torch.utils.data import DistributedSampler

import planc
from planc.lightning import PlanAbort
from tests.lightning.ranks.fabric_setup import make_fabric, mesh_sizes, seeded_body, setup
from tests.lightning.ranks.models import (
    GLOBAL_BATCH,
    RATE,
    SEED,
    WIDTH,
    Body,
    batch_indices,
    dataset,
    full_tensor,
    make_loader,
    max_difference,
    max_loss_difference,
    reference_run,
)

Report = dict[str, Any]
INPUTS = [f"x=float32[4,{WIDTH}]"]


def fabric_mesh(planned: bool, given: dict[str, int]) -> Report:
    """The mesh after the start, and the ranks' part of the samples."""
    made = make_fabric(planned, **given)
    mesh = made.strategy.device_mesh  # type: ignore[attr-defined]
    return {
        "type": mesh.device_type,
        "names": list(mesh.mesh_dim_names),
        "shape": list(mesh.mesh.shape),
        "sampler": made.strategy.distributed_sampler_kwargs,  # type: ignore[attr-defined]
    }


def train_and_compare(planned: bool, dp: int, tp: int, together: bool) -> Report:
    """Four steps, compared with one process. `together`: model and optimizer are set up in one call."""
    made, body = make_fabric(planned, **mesh_sizes(dp, tp)), seeded_body()
    if together:
        model, optimizer = made.setup(body, torch.optim.AdamW(body.parameters(), lr=RATE))
    else:
        model, optimizer = setup(made, body)
    batches = made.setup_dataloaders(make_loader(GLOBAL_BATCH // dp))
    mesh = made.strategy.device_mesh  # type: ignore[attr-defined]
    group_params = [p for group in optimizer.param_groups for p in group["params"]]
    found: Report = {
        "split": sum(isinstance(p, DTensor) for p in model.parameters()),
        "optimized": set(map(id, group_params)) == set(map(id, model.parameters())),
        "mesh": model.up.weight.device_mesh.size(),
        "batches": len(batches),
        "sampler": isinstance(batches.sampler, DistributedSampler),
    }
    losses = []
    for x, y in batches:
        table = made.all_gather(x)[mesh.mesh]
        found["same in tensor groups"] = bool((table == table[:, :1]).all())
        found["differ between them"] = dp == 1 or not torch.equal(table[0], table[1])
        loss = mse_loss(model(x), y)
        made.backward(loss)
        gradient: Any = model.up.weight.grad
        found["gradient"] = isinstance(gradient, DTensor) and gradient.device_mesh.size() == dp * tp
        losses.append(float(made.all_reduce(loss.detach().clone())))
        optimizer.step()
        optimizer.zero_grad()
    # Fabric's loader keeps the order of a loader that does not shuffle.
    reference = seeded_body()
    plain = torch.optim.AdamW(reference.parameters(), lr=RATE)
    expected = []
    for at in range(0, len(dataset()), GLOBAL_BATCH):
        x, y = dataset()[at : at + GLOBAL_BATCH]
        loss = mse_loss(reference(x), y)
        loss.backward()
        plain.step()
        plain.zero_grad()
        expected.append(loss.item())
    return {
        **found,
        "losses": max_loss_difference(losses, expected),
        "weights": max_difference(model.module, reference),
    }


def move_to_device(planned: bool) -> Report:
    """`move_to_device` changes nothing: the strategy has placed what it has split."""
    made = make_fabric(planned, **mesh_sizes(2, 1))
    found: Report = {}
    for move in (True, False):
        model = made.setup_module(seeded_body(), move_to_device=move)
        weight: Any = model.up.weight
        found[str(move)] = [
            str(weight.device),
            isinstance(weight, DTensor),
            str(model.device),
            str(made.device),
        ]
    return found


def init_contexts(planned: bool, precision: str, empty: bool) -> Report:
    """Where and in which type a module is made, where it is after `setup`, and how far its numbers are
    from those of the unsplit one."""
    made = make_fabric(planned, precision)
    torch.manual_seed(SEED)
    with made.init_module(empty_init=False):
        expected = Body()
    torch.manual_seed(SEED)
    with made.init_module(empty_init=empty):
        body = Body()
    before = _devices_and_dtypes(body)
    model = made.setup(body)
    return {
        "made": before,
        "set up": _devices_and_dtypes(model),
        "numbers": max_difference(model.module, expected),
    }


class WithScale(Body):
    """Has a number that nobody but its constructor knows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)


def uninitializable() -> Report:
    """A module from the meta device that cannot be given its numbers."""
    with torch.device("meta"):
        model = WithScale()
    try:
        make_fabric(True).setup(model)
    except PlanAbort as stop:
        return {"message": str(stop), "split": any(isinstance(p, DTensor) for p in model.parameters())}
    return {}


def _devices_and_dtypes(model: nn.Module) -> list[str]:
    return sorted({f"{p.device.type} {str(p.dtype).removeprefix('torch.')}" for p in model.parameters()})


class OneLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 2, bias=False)
        self.linear.weight.data.fill_(0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def shard_by_columns(model: nn.Module, mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    parallelize_module(model, mesh["tensor_parallel"], {"linear": ColwiseParallel()})
    return fully_shard(model, mesh=mesh["data_parallel"])


def clipped_gradients(planned: bool, precision: str) -> Report:
    """All gradients of a layer are the same number, so clipping is known by hand."""
    found: Report = {}
    for kind in ("norm", "value"):
        if kind == "norm" and not planned:
            continue  # Lightning skips it: it is not right there
        text = "plan one\nmesh dp, tp\ntensor tp { linear  colwise  -> replicate }\nfsdp dp { root }\n"
        how: Any = {"plan": planc.parse(text), "plan_inputs": ["x=float32[4,32]"]}
        made = make_fabric(
            planned,
            precision,
            **(how if planned else {"parallelize_fn": shard_by_columns}),
            **mesh_sizes(1, 2),
        )
        model, optimizer = setup(made, OneLayer())
        made.backward(model(torch.full((1, 32), 0.1)).sum())
        weight: Any = model.linear.weight
        gradient: Any = weight.grad
        before = full_tensor(gradient)
        if kind == "norm":
            found["norm"] = float(made.clip_gradients(model, optimizer, max_norm=0.01))
            found["expected"] = float(before.norm())
            found["after norm"] = float(full_tensor(weight.grad).norm())
        else:
            made.clip_gradients(model, optimizer, clip_val=0.05)
            found["after value"] = [
                float(full_tensor(weight.grad).min()),
                float(full_tensor(weight.grad).max()),
            ]
    return found


def optimizer_with_steps(planned: bool) -> Report:
    """An optimizer that has made steps cannot follow its model; nothing is changed."""
    body = seeded_body()
    optimizer = torch.optim.AdamW(body.parameters(), lr=RATE)
    body(torch.ones(1, WIDTH)).sum().backward()
    optimizer.step()
    try:
        make_fabric(planned, **mesh_sizes(1, 2)).setup(body, optimizer)
    except ValueError as bad:
        return {"message": str(bad), "split": any(isinstance(p, DTensor) for p in body.parameters())}
    return {}


def accumulated_gradients() -> Report:
    """Two micro-batches of each rank, reduced once, are one batch."""
    made = make_fabric(True, **mesh_sizes(2, 2))
    model, optimizer = setup(made)
    group = made.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]
    own = batch_indices(0)[group.get_local_rank() :: group.size()]
    for number, sample in enumerate(own):
        x, y = dataset()[[sample]]
        with made.no_backward_sync(model, enabled=number + 1 < len(own)):
            made.backward(mse_loss(model(x), y) / len(own))
    optimizer.step()
    return {"weights": max_difference(model.module, reference_run(1)[1])}
