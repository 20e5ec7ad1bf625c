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
from planc.lightning import PlanStop
from planc.lightning.fabric import ModelParallelStrategy
from tests.lightning.conform_models import (
    GLOBAL,
    RATE,
    SEED,
    WIDTH,
    Body,
    apart,
    batch,
    by_hand,
    data,
    full,
    furthest,
    loader,
    plan,
    whole,
)

Found = dict[str, Any]
INPUTS = [f"x=float32[4,{WIDTH}]"]


def fabric(planned: bool, precision: Any = "32-true", **given: Any) -> Fabric:
    how = {"plan": plan(), "plan_inputs": INPUTS} if planned else {"parallelize_fn": by_hand}
    strategy = ModelParallelStrategy(**{**how, **given})
    made = Fabric(accelerator="cpu", devices=dist.get_world_size(), strategy=strategy, precision=precision)
    made.launch()
    return made


def sizes(dp: int, tp: int) -> dict[str, int]:
    return {"data_parallel_size": dp, "tensor_parallel_size": tp}


def seeded() -> Body:
    torch.manual_seed(SEED)
    return Body()


def ready(made: Fabric, body: nn.Module | None = None) -> tuple[Any, Any]:
    model = made.setup(body or seeded())
    return model, made.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=RATE))


def step(made: Fabric, model: Any, optimizer: Any, number: int = 0) -> float:
    """A step with this rank's part of a batch. The loss over all data ranks."""
    group = made.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]
    own = batch(number)[group.get_local_rank() :: group.size()]
    x, y = data()[own]
    loss = mse_loss(model(x), y)
    made.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    return float(made.all_reduce(loss.detach().clone()))


def meshes(planned: bool, given: dict[str, int]) -> Found:
    """The mesh after the start, and the ranks' part of the samples."""
    made = fabric(planned, **given)
    mesh = made.strategy.device_mesh  # type: ignore[attr-defined]
    return {
        "type": mesh.device_type,
        "names": list(mesh.mesh_dim_names),
        "shape": list(mesh.mesh.shape),
        "sampler": made.strategy.distributed_sampler_kwargs,  # type: ignore[attr-defined]
    }


def trains(planned: bool, dp: int, tp: int, together: bool) -> Found:
    """Four steps, compared with one process. `together`: model and optimizer are set up in one call."""
    made, body = fabric(planned, **sizes(dp, tp)), seeded()
    if together:
        model, optimizer = made.setup(body, torch.optim.AdamW(body.parameters(), lr=RATE))
    else:
        model, optimizer = ready(made, body)
    batches = made.setup_dataloaders(loader(GLOBAL // dp))
    mesh = made.strategy.device_mesh  # type: ignore[attr-defined]
    held = [p for group in optimizer.param_groups for p in group["params"]]
    found: Found = {
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
    reference = seeded()
    plain = torch.optim.AdamW(reference.parameters(), lr=RATE)
    expected = []
    for at in range(0, len(data()), GLOBAL):
        x, y = data()[at : at + GLOBAL]
        loss = mse_loss(reference(x), y)
        loss.backward()
        plain.step()
        plain.zero_grad()
        expected.append(loss.item())
    return {**found, "losses": apart(losses, expected), "weights": furthest(model.module, reference)}


def save_and_load(planned: bool, precision: str, folder: str) -> Found:
    """A folder of shards, into objects that another Fabric has made."""
    path = os.path.join(folder, "shards")
    made = fabric(planned, precision, **sizes(2, 2))
    model, optimizer = ready(made)
    step(made, model, optimizer)
    before = {name: full(p) for name, p in model.named_parameters()}
    made.save(path, {"model": model, "optimizer": optimizer, "steps": 1})

    made = fabric(planned, precision, **sizes(2, 2))
    other, another = ready(made, Body())
    state: Found = {"model": other, "optimizer": another, "steps": 0}
    rest = made.load(path, state)
    found: Found = {
        "files": sorted(os.listdir(path)),
        "rest": sorted(rest),
        "steps": state["steps"],
        "equal": all(torch.equal(full(p), before[name]) for name, p in other.named_parameters()),
    }
    # Both go on alike: the optimizer's state is there, too.
    step(made, model, optimizer, 1)
    step(made, other, another, 1)
    found["goes on"] = furthest(other.module, model.module)
    try:
        made.load(path, {"model": other, "coconut": 11})
    except KeyError as bad:
        found["missing"] = str(bad)
    state = {"model": other, "coconut": 11}
    made.load(path, state, strict=False)
    found["kept"] = state["coconut"]
    return found


def full_file(planned: bool, folder: str) -> Found:
    """A file of whole tensors: into split objects, into those of one process, and back."""
    path, plain = os.path.join(folder, "full.pt"), os.path.join(folder, "plain.pt")
    made = fabric(planned, save_distributed_checkpoint=False, **sizes(2, 1))
    model, optimizer = ready(made)
    step(made, model, optimizer)
    made.save(path, {"model": model, "optimizer": optimizer, "steps": 1})
    saved = torch.load(path)
    names = dict(model.module.named_parameters())
    found: Found = {
        "steps": saved["steps"],
        "file": all(torch.equal(saved["model"][name], full(p)) for name, p in names.items()),
        "names": set(saved["model"]) == set(names),
        "optimizer": sorted(saved["optimizer"]),
    }

    other, another = ready(fabric(planned, **sizes(2, 1)), Body())
    found["rest"] = _known(made.load(path, {"model": other, "optimizer": another}))
    found["split"] = furthest(other.module, model.module)

    alone = Fabric(accelerator="cpu", devices=1)
    one, only = ready(alone, Body())
    found["rest alone"] = _known(alone.load(path, {"model": one, "optimizer": only}))
    found["alone"] = furthest(one.module, model.module)
    if dist.get_rank() == 0:
        # By torch alone: what Fabric on one process would save has the same form.
        torch.save({"model": one.module.state_dict(), "optimizer": only.state_dict(), "steps": 2}, plain)
    dist.barrier()
    third, its = ready(fabric(planned, **sizes(2, 1)), Body())
    found["rest back"] = _known(made.load(plain, {"model": third, "optimizer": its}))
    found["back"] = furthest(third.module, model.module)
    for number, pair in enumerate(((model, optimizer), (other, another), (third, its))):
        step(made, *pair, 1)
        found[f"goes on {number}"] = furthest(pair[0].module, model.module)

    raw = os.path.join(folder, "raw.pt")
    if dist.get_rank() == 0:
        torch.save(saved["model"], raw)
    dist.barrier()
    made.load_raw(raw, other)
    found["raw"] = furthest(other.module, one.module)
    return found


def _known(rest: Found) -> Found:
    """What a checkpoint holds beside the states, without what planc says of its plan."""
    return {name: value for name, value in rest.items() if name != "planc"}


def devices(planned: bool) -> Found:
    """`move_to_device` changes nothing: the strategy has placed what it has split."""
    made = fabric(planned, **sizes(2, 1))
    found: Found = {}
    for move in (True, False):
        model = made.setup_module(seeded(), move_to_device=move)
        weight: Any = model.up.weight
        found[str(move)] = [
            str(weight.device),
            isinstance(weight, DTensor),
            str(model.device),
            str(made.device),
        ]
    return found


def contexts(planned: bool, precision: str, empty: bool) -> Found:
    """Where and in which type a module is made, where it is after `setup`, and how far its numbers are
    from those of the unsplit one."""
    made = fabric(planned, precision)
    torch.manual_seed(SEED)
    with made.init_module(empty_init=False):
        expected = Body()
    torch.manual_seed(SEED)
    with made.init_module(empty_init=empty):
        body = Body()
    before = _forms(body)
    model = made.setup(body)
    return {"made": before, "set up": _forms(model), "numbers": furthest(model.module, expected)}


class Scaled(Body):
    """Has a number that nobody but its constructor knows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)


def unknown() -> Found:
    """A module from the meta device that cannot be given its numbers."""
    with torch.device("meta"):
        model = Scaled()
    try:
        fabric(True).setup(model)
    except PlanStop as stop:
        return {"said": str(stop), "split": any(isinstance(p, DTensor) for p in model.parameters())}
    return {}


def _forms(model: nn.Module) -> list[str]:
    return sorted({f"{p.device.type} {str(p.dtype).removeprefix('torch.')}" for p in model.parameters()})


def filtered(planned: bool, folder: str) -> Found:
    """A file of some of the weights; a folder cannot be filtered."""
    path = os.path.join(folder, "some.pt")
    made = fabric(planned, save_distributed_checkpoint=False, **sizes(2, 1))
    model = made.setup_module(seeded())
    chosen = {"model": lambda name, _: "bias" in name}
    made.save(path, {"model": model}, filter=chosen)
    saved = torch.load(path)["model"]
    found: Found = {"names": sorted(saved), "plain": all(type(value) is Tensor for value in saved.values())}
    made.strategy._save_distributed_checkpoint = True  # type: ignore[attr-defined]
    try:
        made.save(os.path.join(folder, "folder"), {"model": model}, filter=chosen)
    except NotImplementedError as bad:
        found["refused"] = str(bad)
    return {**found, "folder": Path(folder, "folder").exists()}


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 2, bias=False)
        self.linear.weight.data.fill_(0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def clipped(planned: bool, precision: str) -> Found:
    """All gradients of a layer are the same number, so clipping is known by hand."""
    found: Found = {}
    for kind in ("norm", "value"):
        if kind == "norm" and not planned:
            continue  # Lightning skips it: it is not right there
        text = "plan one\nmesh dp, tp\ntensor tp { linear  colwise  -> replicate }\nfsdp dp { root }\n"
        how: Any = {"plan": planc.parse(text), "plan_inputs": ["x=float32[4,32]"]}
        made = fabric(
            planned, precision, **(how if planned else {"parallelize_fn": by_columns}), **sizes(1, 2)
        )
        model, optimizer = ready(made, One())
        made.backward(model(torch.full((1, 32), 0.1)).sum())
        weight: Any = model.linear.weight
        gradient: Any = weight.grad
        before = full(gradient)
        if kind == "norm":
            found["norm"] = float(made.clip_gradients(model, optimizer, max_norm=0.01))
            found["expected"] = float(before.norm())
            found["after norm"] = float(full(weight.grad).norm())
        else:
            made.clip_gradients(model, optimizer, clip_val=0.05)
            found["after value"] = [
                float(full(weight.grad).min()),
                float(full(weight.grad).max()),
            ]
    return found


def by_columns(model: nn.Module, mesh: Any) -> nn.Module:
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    parallelize_module(model, mesh["tensor_parallel"], {"linear": ColwiseParallel()})
    return fully_shard(model, mesh=mesh["data_parallel"])


def consolidated(planned: bool, folder: str) -> Found:
    """A folder of shards made one file by Lightning's own function, and loaded."""
    shards, path = os.path.join(folder, "shards"), os.path.join(folder, "full.pt")
    made = fabric(planned, **sizes(2, 2))
    model, optimizer = ready(made)
    step(made, model, optimizer)
    made.save(shards, {"model": model, "optimizer": optimizer, "steps": 1})
    if dist.get_rank() == 0:
        torch.save(_load_distributed_checkpoint(Path(shards)), path)
    dist.barrier()
    made = fabric(planned, **sizes(2, 2))
    other, another = ready(made, Body())
    state: Found = {"model": other, "optimizer": another, "steps": 0}
    made.load(path, state)
    step(made, model, optimizer, 1)
    step(made, other, another, 1)
    return {"steps": state["steps"], "weights": furthest(other.module, model.module)}


def raw(planned: bool, folder: str) -> Found:
    """Weights by themselves, all of them and one too few."""
    path, few = os.path.join(folder, "raw.pt"), os.path.join(folder, "few.pt")
    made = fabric(planned, **sizes(1, 2))
    model = made.setup(seeded())
    torch.manual_seed(3)
    wanted = Body()
    state = wanted.state_dict()
    if dist.get_rank() == 0:
        torch.save(state, path)
        torch.save({name: value for name, value in state.items() if name != "norm.weight"}, few)
    dist.barrier()
    made.load_raw(path, model)
    found: Found = {"weights": furthest(model.module, wanted)}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    try:
        made.load_raw(few, model)
    except (KeyError, planc.WeightsError) as bad:
        found["missing"] = str(bad)
        found["touched"] = any(bool(full(p).any()) for p in model.parameters())
    made.load_raw(few, model, strict=False)
    found["others"] = torch.equal(full(model.up.weight), wanted.up.weight)
    return found


def steps_before(planned: bool) -> Found:
    """An optimizer that has made steps cannot follow its model; nothing is changed."""
    body = seeded()
    optimizer = torch.optim.AdamW(body.parameters(), lr=RATE)
    body(torch.ones(1, WIDTH)).sum().backward()
    optimizer.step()
    try:
        fabric(planned, **sizes(1, 2)).setup(body, optimizer)
    except ValueError as bad:
        return {"said": str(bad), "split": any(isinstance(p, DTensor) for p in body.parameters())}
    return {}


def accumulated() -> Found:
    """Two micro-batches of each rank, reduced once, are one batch."""
    made = fabric(True, **sizes(2, 2))
    model, optimizer = ready(made)
    group = made.strategy.device_mesh["data_parallel"]  # type: ignore[attr-defined]
    own = batch(0)[group.get_local_rank() :: group.size()]
    for number, sample in enumerate(own):
        x, y = data()[[sample]]
        with made.no_backward_sync(model, enabled=number + 1 < len(own)):
            made.backward(mse_loss(model(x), y) / len(own))
    optimizer.step()
    return {"weights": furthest(model.module, whole(1)[1])}
