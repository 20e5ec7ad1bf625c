"""Fabric with our strategy, on the processes of a group: with a plan, and with `parallelize_fn`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.utilities.load import _load_distributed_checkpoint
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import mse_loss
from torch.utils.data import DistributedSampler

import planc
from planc.lightning import PlanAbort
from planc.lightning.fabric import ModelParallelStrategy
from tests.lightning.ranks.models import (
    GLOBAL_BATCH,
    RATE,
    SEED,
    WIDTH,
    Body,
    batch_indices,
    body_plan,
    dataset,
    full_tensor,
    make_loader,
    max_difference,
    max_loss_difference,
    parallelize_by_hand,
    reference_run,
)

Report = dict[str, Any]
INPUTS = [f"x=float32[4,{WIDTH}]"]


def make_fabric(planned: bool, precision: Any = "32-true", **given: Any) -> Fabric:
    how = {"plan": body_plan(), "plan_inputs": INPUTS} if planned else {"parallelize_fn": parallelize_by_hand}
    strategy = ModelParallelStrategy(**{**how, **given})
    made = Fabric(accelerator="cpu", devices=dist.get_world_size(), strategy=strategy, precision=precision)
    made.launch()
    return made


def mesh_sizes(dp: int, tp: int) -> dict[str, int]:
    return {"data_parallel_size": dp, "tensor_parallel_size": tp}


def seeded_body() -> Body:
    torch.manual_seed(SEED)
    return Body()


def setup(made: Fabric, body: nn.Module | None = None) -> tuple[Any, Any]:
    model = made.setup(body or seeded_body())
    return model, made.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=RATE))


def train_step(made: Fabric, model: Any, optimizer: Any, number: int = 0) -> float:
    """A step with this rank's part of a batch. The loss over all data ranks."""
    group = made.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]
    own = batch_indices(number)[group.get_local_rank() :: group.size()]
    x, y = dataset()[own]
    loss = mse_loss(model(x), y)
    made.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    return float(made.all_reduce(loss.detach().clone()))


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
    held = [p for group in optimizer.param_groups for p in group["params"]]
    found: Report = {
        "split": sum(isinstance(p, DTensor) for p in model.parameters()),
        "optimized": set(map(id, held)) == set(map(id, model.parameters())),
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


def sharded_round_trip(planned: bool, precision: str, folder: str) -> Report:
    """A folder of shards, into objects that another Fabric has made."""
    path = os.path.join(folder, "shards")
    made = make_fabric(planned, precision, **mesh_sizes(2, 2))
    model, optimizer = setup(made)
    train_step(made, model, optimizer)
    before = {name: full_tensor(p) for name, p in model.named_parameters()}
    made.save(path, {"model": model, "optimizer": optimizer, "steps": 1})

    made = make_fabric(planned, precision, **mesh_sizes(2, 2))
    other, another = setup(made, Body())
    state: Report = {"model": other, "optimizer": another, "steps": 0}
    rest = made.load(path, state)
    found: Report = {
        "files": sorted(os.listdir(path)),
        "rest": sorted(rest),
        "steps": state["steps"],
        "equal": all(torch.equal(full_tensor(p), before[name]) for name, p in other.named_parameters()),
    }
    # Both go on alike: the optimizer's state is there, too.
    train_step(made, model, optimizer, 1)
    train_step(made, other, another, 1)
    found["goes on"] = max_difference(other.module, model.module)
    try:
        made.load(path, {"model": other, "coconut": 11})
    except KeyError as bad:
        found["missing"] = str(bad)
    state = {"model": other, "coconut": 11}
    made.load(path, state, strict=False)
    found["kept"] = state["coconut"]
    return found


def full_checkpoint(planned: bool, folder: str) -> Report:
    """A file of whole tensors: into split objects, into those of one process, and back."""
    path, plain = os.path.join(folder, "full.pt"), os.path.join(folder, "plain.pt")
    made = make_fabric(planned, save_distributed_checkpoint=False, **mesh_sizes(2, 1))
    model, optimizer = setup(made)
    train_step(made, model, optimizer)
    made.save(path, {"model": model, "optimizer": optimizer, "steps": 1})
    saved = torch.load(path)
    names = dict(model.module.named_parameters())
    found: Report = {
        "steps": saved["steps"],
        "file": all(torch.equal(saved["model"][name], full_tensor(p)) for name, p in names.items()),
        "names": set(saved["model"]) == set(names),
        "optimizer": sorted(saved["optimizer"]),
    }

    other, another = setup(make_fabric(planned, **mesh_sizes(2, 1)), Body())
    found["rest"] = _without_planc(made.load(path, {"model": other, "optimizer": another}))
    found["split"] = max_difference(other.module, model.module)

    alone = Fabric(accelerator="cpu", devices=1)
    one, only = setup(alone, Body())
    found["rest alone"] = _without_planc(alone.load(path, {"model": one, "optimizer": only}))
    found["alone"] = max_difference(one.module, model.module)
    if dist.get_rank() == 0:
        # By torch alone: what Fabric on one process would save has the same form.
        torch.save({"model": one.module.state_dict(), "optimizer": only.state_dict(), "steps": 2}, plain)
    dist.barrier()
    third, its = setup(make_fabric(planned, **mesh_sizes(2, 1)), Body())
    found["rest back"] = _without_planc(made.load(plain, {"model": third, "optimizer": its}))
    found["back"] = max_difference(third.module, model.module)
    for number, pair in enumerate(((model, optimizer), (other, another), (third, its))):
        train_step(made, *pair, 1)
        found[f"goes on {number}"] = max_difference(pair[0].module, model.module)

    raw = os.path.join(folder, "raw.pt")
    if dist.get_rank() == 0:
        torch.save(saved["model"], raw)
    dist.barrier()
    made.load_raw(raw, other)
    found["raw"] = max_difference(other.module, one.module)
    return found


def _without_planc(rest: Report) -> Report:
    """What a checkpoint holds beside the states, without what planc says of its plan."""
    return {name: value for name, value in rest.items() if name != "planc"}


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
        return {"said": str(stop), "split": any(isinstance(p, DTensor) for p in model.parameters())}
    return {}


def _devices_and_dtypes(model: nn.Module) -> list[str]:
    return sorted({f"{p.device.type} {str(p.dtype).removeprefix('torch.')}" for p in model.parameters()})


def filtered_checkpoint(planned: bool, folder: str) -> Report:
    """A file of some of the weights; a folder cannot be filtered."""
    path = os.path.join(folder, "some.pt")
    made = make_fabric(planned, save_distributed_checkpoint=False, **mesh_sizes(2, 1))
    model = made.setup_module(seeded_body())
    chosen = {"model": lambda name, _: "bias" in name}
    made.save(path, {"model": model}, filter=chosen)
    saved = torch.load(path)["model"]
    found: Report = {"names": sorted(saved), "plain": all(type(value) is Tensor for value in saved.values())}
    made.strategy._save_distributed_checkpoint = True  # type: ignore[attr-defined]
    try:
        made.save(os.path.join(folder, "folder"), {"model": model}, filter=chosen)
    except NotImplementedError as bad:
        found["refused"] = str(bad)
    return {**found, "folder": Path(folder, "folder").exists()}


class OneLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 2, bias=False)
        self.linear.weight.data.fill_(0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


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


def shard_by_columns(model: nn.Module, mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    parallelize_module(model, mesh["tensor_parallel"], {"linear": ColwiseParallel()})
    return fully_shard(model, mesh=mesh["data_parallel"])


def consolidated_checkpoint(planned: bool, folder: str) -> Report:
    """A folder of shards made one file by Lightning's own function, and loaded."""
    shards, path = os.path.join(folder, "shards"), os.path.join(folder, "full.pt")
    made = make_fabric(planned, **mesh_sizes(2, 2))
    model, optimizer = setup(made)
    train_step(made, model, optimizer)
    made.save(shards, {"model": model, "optimizer": optimizer, "steps": 1})
    if dist.get_rank() == 0:
        torch.save(_load_distributed_checkpoint(Path(shards)), path)
    dist.barrier()
    made = make_fabric(planned, **mesh_sizes(2, 2))
    other, another = setup(made, Body())
    state: Report = {"model": other, "optimizer": another, "steps": 0}
    made.load(path, state)
    train_step(made, model, optimizer, 1)
    train_step(made, other, another, 1)
    return {"steps": state["steps"], "weights": max_difference(other.module, model.module)}


def raw_weights(planned: bool, folder: str) -> Report:
    """Weights by themselves, all of them and one too few."""
    path, few = os.path.join(folder, "raw.pt"), os.path.join(folder, "few.pt")
    made = make_fabric(planned, **mesh_sizes(1, 2))
    model = made.setup(seeded_body())
    torch.manual_seed(3)
    wanted = Body()
    state = wanted.state_dict()
    if dist.get_rank() == 0:
        torch.save(state, path)
        torch.save({name: value for name, value in state.items() if name != "norm.weight"}, few)
    dist.barrier()
    made.load_raw(path, model)
    found: Report = {"weights": max_difference(model.module, wanted)}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    try:
        made.load_raw(few, model)
    except (KeyError, planc.WeightsError) as bad:
        found["missing"] = str(bad)
        found["touched"] = any(bool(full_tensor(p).any()) for p in model.parameters())
    made.load_raw(few, model, strict=False)
    found["others"] = torch.equal(full_tensor(model.up.weight), wanted.up.weight)
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
        return {"said": str(bad), "split": any(isinstance(p, DTensor) for p in body.parameters())}
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
