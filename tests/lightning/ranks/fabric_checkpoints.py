"""Checkpoints of Fabric, with a plan and with `parallelize_fn`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.fabric.utilities.load import _load_distributed_checkpoint
from torch import Tensor

import planc
from tests.lightning.ranks.fabric_setup import make_fabric, mesh_sizes, seeded_body, setup, train_step
from tests.lightning.ranks.models import (
    Body,
    full_tensor,
    max_difference,
)

Report = dict[str, Any]


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
    """Everything in a checkpoint besides the states and the plan."""
    return {name: value for name, value in rest.items() if name != "planc"}


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
