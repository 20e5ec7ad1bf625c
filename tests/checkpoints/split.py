"""What ranks do with checkpoints of split models. The same model, never split, says what must come of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

import fsspec
import torch
import torch.distributed as dist
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from planc.torch.apply.state import whole
from planc.torch.checkpoints.read import read
from planc.torch.checkpoints.saver import Saver
from planc.torch.checkpoints.state import model_state, optimizer_state
from planc.torch.checkpoints.write import NotSaved
from tests.apply.models import BATCH, inputs_of, model_of, plan_of
from tests.apply.sharding import Toy
from tests.apply.train import batch_of, loss_of, run

BEFORE, AFTER = 2, 5
TOLERANCE = 1e-5
MORE = {"epoch": 3, "planc": {"plan": "text", "mesh": {"dp": 2, "tp": 2}}}


class Found(NamedTuple):
    """What an unsplit model does: losses of steps, its numbers, and what its optimizer holds."""

    losses: list[float]
    halfway: dict[str, Tensor]
    held: dict[str, Any]
    numbers: dict[str, Tensor]


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Epsilon is far above rounding, so that no entry takes steps for its sake."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1)


@cache
def unsplit(name: str) -> Found:
    """The model as it is, trained for all steps at once."""
    model = model_of(name)
    optimizer = adamw(model)
    losses = steps(name, model, optimizer, None, BEFORE)
    halfway = {key: item.clone() for key, item in model.state_dict().items()}
    held = planc_free(optimizer.state_dict())
    losses += steps(name, model, optimizer, None, AFTER)
    return Found(losses, halfway, held, model.state_dict())


def planc_free(tree: Any) -> Any:
    """A copy of a tree of tensors."""
    if isinstance(tree, dict):
        return {key: planc_free(value) for key, value in tree.items()}
    return tree.clone() if isinstance(tree, Tensor) else tree


def steps(
    name: str, model: nn.Module, optimizer: torch.optim.Optimizer, mesh: DeviceMesh | None, count: int
) -> list[float]:
    """Losses of some steps, on the rank's part of one batch."""
    inputs, found = inputs_of(name), []
    labels = torch.randint(0, 128, (BATCH, 12), generator=torch.Generator().manual_seed(2))
    number, parts = batch_of(mesh) if mesh is not None else (0, 1)
    own = slice(number * BATCH // parts, (number + 1) * BATCH // parts)
    for _ in range(count):
        optimizer.zero_grad()
        loss = loss_of(run(model, {key: item[own] for key, item in inputs.items()}), labels[own])
        loss.backward()
        optimizer.step()
        total = loss.detach().clone()
        if mesh is not None:
            dist.all_reduce(total)
            total /= dist.get_world_size()
        found.append(float(total))
    return found


def split(
    name: str, sizes: dict[str, int], graph: str | None, seed: int = 0
) -> tuple[Any, Any, DeviceMesh | None]:
    """A model on a mesh, or in one process; with other numbers for a seed."""
    model = model_of(name)
    if seed:
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
    mesh = None
    if sizes:
        mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
        planc.parallelize(model, planc.parse(plan_of(name, recompute=False)), mesh, graph=graph)
    return model, adamw(model), mesh


def save(name: str, sizes: dict[str, int], graph: str | None, folder: str) -> list[str]:
    """Train and save both forms, the folder in the background; then train on."""
    model, optimizer, mesh = split(name, sizes, graph)
    losses = steps(name, model, optimizer, mesh, BEFORE)
    saver, wrong = Saver(), []
    for full in (False, True):
        state = model_state(model, full=full)
        optimizers = optimizer_state(model, optimizer, full=full)
        keys = {"optimizer_states": [optimizers]} if full else {"optimizer_0": optimizers}
        path = os.path.join(folder, "file" if full else "folder")
        if full and sizes and dist.get_rank():
            wrong += ["a rank other than the first holds whole tensors"] if state or optimizers else []
        saver.save(path, {"state_dict": state, **keys}, MORE, full=full, background=not full)
        if not full:
            losses += steps(name, model, optimizer, mesh, AFTER)
            # The file is of the same moment, which shows what was read into a model that has moved on.
            saver.wait()
            read(path, {"state_dict": model, "optimizer_0": optimizer})
    saver.close()
    return wrong + list(_off("losses", torch.tensor(losses), torch.tensor(unsplit(name).losses)))


def resume(name: str, sizes: dict[str, int], graph: str | None, path: str) -> list[str]:
    """Load into a model of other numbers, and train on."""
    model, optimizer, mesh = split(name, sizes, graph, seed=1)
    found = read(path, {"state_dict": model, "optimizer_0": optimizer})
    wrong = [] if found.rest == MORE else [f"the rest is {found.rest}"]
    wrong += [*found.notes]
    wanted = unsplit(name)
    for key, item in wanted.halfway.items():
        wrong += _off(f"{key} as loaded", _whole(model, key), item)
    losses = steps(name, model, optimizer, mesh, AFTER)
    wrong += _off("losses", torch.tensor(losses), torch.tensor(wanted.losses[BEFORE:]))
    for key, item in wanted.numbers.items():
        wrong += _off(f"{key} after {AFTER} steps", _whole(model, key), item)
    return wrong


def _whole(model: nn.Module, name: str) -> Tensor:
    if name in dict(model.named_buffers()):
        return model.get_buffer(name)
    return whole(model, name)


def _off(what: str, got: Tensor, wanted: Tensor) -> Iterator[str]:
    if got.shape != wanted.shape:
        yield f"{what} has shape {tuple(got.shape)}, not {tuple(wanted.shape)}"
        return
    off = float((got - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-30)
    if not off <= TOLERANCE:
        yield f"{what}: off by {off:.1e}"


def as_unsplit(name: str, path: str) -> list[str]:
    """A file is what a run that was never split would have written: names, order, numbers, settings."""
    wanted, held = unsplit(name), torch.load(path)
    optimizer, kept = held["optimizer_states"][0], wanted.held
    wrong = [] if list(held["state_dict"]) == list(wanted.halfway) else ["names or their order"]
    wrong += [] if optimizer["param_groups"] == kept["param_groups"] else ["groups"]
    wrong += [] if list(optimizer["state"]) == list(kept["state"]) else ["numbers of parameters"]
    for key, item in wanted.halfway.items():
        wrong += _off(key, held["state_dict"][key], item)
    for number, values in kept["state"].items():
        for key, item in values.items():
            wrong += _off(f"{key} of {number}", optimizer["state"][number][key], item)
    return wrong


# ---- a small model with all kinds of optimizers ---------------------------------------


def toy(sizes: dict[str, int], seed: int, wrapped: bool = False) -> tuple[Any, list[Any]]:
    """Two optimizers, a frozen parameter, layers in wrappers; split by a plan if there are sizes."""
    torch.manual_seed(seed)
    model: Any = Toy()
    model.head.bias.requires_grad_(False)
    if sizes:
        mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
        tensor = "tensor tp {\n    blocks.*.up colwise\n    blocks.*.down rowwise\n}\n"
        text = f"plan toy\nmesh dp, tp\n{tensor}fsdp dp {{\n    blocks.*\n    root\n}}\n"
        planc.parallelize(model, planc.parse(text), mesh, inputs=[torch.zeros(8, 3, dtype=torch.int64)])
    if wrapped:
        model.blocks[0] = checkpoint_wrapper(model.blocks[0])
    first = [*model.embed.parameters(), *model.blocks[0].parameters()]
    groups = [{"params": [*model.head.parameters()]}, {"params": [*model.blocks[1].parameters()], "lr": 0.02}]
    return model, [torch.optim.SGD(first, lr=0.1), torch.optim.AdamW(groups, lr=0.01, eps=1e-3, foreach=True)]


def toy_steps(
    model: Any, optimizers: list[Any], start: int, count: int, sizes: dict[str, int]
) -> list[float]:
    """Losses of steps on whole batches, each its own; every rank has its part."""
    found = []
    parts = sizes.get("dp", 1)
    number = dist.get_rank() // sizes["tp"] if sizes else 0
    for step in range(start, start + count):
        ids = torch.randint(0, 11, (8, 3), generator=torch.Generator().manual_seed(step))
        loss = model(ids.chunk(parts)[number]).square().mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        total = loss.detach().clone()
        if sizes:
            dist.all_reduce(total)
            total /= dist.get_world_size()
        found.append(float(total))
    return found


@cache
def toy_unsplit() -> list[float]:
    """Losses of a model that was never split."""
    model, optimizers = toy({}, 0)
    return toy_steps(model, optimizers, 0, BEFORE + AFTER, {})


def toy_save(sizes: dict[str, int], folder: str) -> None:
    """Save both forms."""
    model, optimizers = toy(sizes, 0, wrapped=True)
    toy_steps(model, optimizers, 0, BEFORE, sizes)
    with torch.no_grad():
        # The root has whole parameters now; states are of the sharded ones.
        model(torch.zeros(2, 3, dtype=torch.int64))
    for full in (False, True):
        states = [optimizer_state(model, optimizer, full=full) for optimizer in optimizers]
        keys: dict[str, Any] = {f"optimizer_{n}": state for n, state in enumerate(states)}
        tensors = {"state_dict": model_state(model, full=full)} | (
            {"optimizer_states": states} if full else keys
        )
        Saver().save(os.path.join(folder, "file" if full else "folder"), tensors, MORE, full=full)


def toy_resume(sizes: dict[str, int], path: str) -> list[str]:
    """Load on another mesh, and train on."""
    model, optimizers = toy(sizes, 1)
    toy_steps(model, optimizers, 9, 1, sizes)
    with torch.no_grad():
        model(torch.zeros(2, 3, dtype=torch.int64))
    read(path, {"state_dict": model, **{f"optimizer_{n}": item for n, item in enumerate(optimizers)}})
    losses = toy_steps(model, optimizers, BEFORE, AFTER, sizes)
    return list(_off("losses", torch.tensor(losses), torch.tensor(toy_unsplit()[BEFORE:])))


def toy_refused(sizes: dict[str, int], path: str) -> list[str]:
    """What does not fit, or what a rank cannot read, is said on every rank, and nothing is changed."""
    model, optimizers = toy(sizes, 1)
    before = {key: _local(item).clone() for key, item in model.state_dict().items()}
    said = []

    def tried(where: str) -> None:
        try:
            read(where, {"state_dict": model, "optimizer_0": optimizers[1]})
        except (planc.WeightsError, OSError) as bad:
            said.append(str(bad))

    tried(path + ".none")
    if dist.get_rank() == 2:
        with patch("planc.torch.checkpoints.read.stored", side_effect=OSError("not on this node")):
            tried(path)
    else:
        tried(path)
    model.add_module("more", nn.Linear(2, 2))
    tried(path)
    changed = [key for key, item in before.items() if not torch.equal(_local(model.state_dict()[key]), item)]
    return [*said, *changed]


def _local(item: Tensor) -> Tensor:
    return item.to_local() if isinstance(item, DTensor) else item


def bytes_read(sizes: dict[str, int], path: str) -> list[int]:
    """What a rank reads of a file, and what it holds."""
    from planc.torch.checkpoints.modules import weights
    from planc.torch.checkpoints.places import place
    from planc.torch.checkpoints.stored import stored

    model, _ = toy(sizes, 1)
    source = stored(place(path), None)
    with torch.no_grad():
        read_ = source.fill(weights(model, source.tree["state_dict"]).requests)
    return [read_, sum(_local(item).nbytes for item in model.state_dict().values())]


class Disk(LocalFileSystem):  # type: ignore[misc]
    """A file system behind a URL that all ranks share."""

    protocol = "planc-disk"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix("planc-disk://"))


def url_save(sizes: dict[str, int], folder: str) -> list[str]:
    """Save behind a URL, twice, and load from there."""
    fsspec.register_implementation("planc-disk", Disk, clobber=True)
    model, optimizers = toy(sizes, 0)
    toy_steps(model, optimizers, 0, BEFORE - 1, sizes)
    url, saver = f"planc-disk://{folder}/deep/it", Saver()
    for last in (False, True):
        if last:
            toy_steps(model, optimizers, BEFORE - 1, 1, sizes)
        states = [optimizer_state(model, optimizer, full=False) for optimizer in optimizers]
        keys: dict[str, Any] = {f"optimizer_{n}": state for n, state in enumerate(states)}
        tensors = {"state_dict": model_state(model, full=False), **keys}
        saver.save(url, tensors, MORE, full=False, background=last)
    saver.close()
    wrong = toy_resume(sizes, url)
    names = [item.rpartition("_")[0] for item in os.listdir(f"{folder}/deep/it") if item.endswith(".distcp")]
    return wrong + ([] if len(names) == dist.get_world_size() else names)


def plain_save(folder: str) -> list[str]:
    """A model without any DTensor, on all ranks; then one of them cannot write."""
    torch.manual_seed(0)
    model, path, saver = nn.Linear(3, 3), os.path.join(folder, "plain"), Saver()
    saver.save(path, {"state_dict": model.state_dict()}, MORE, full=False)
    torch.manual_seed(1)
    other, wrong = nn.Linear(3, 3), []
    for background in (False, True):
        full = patch.object(FileSystemWriter, "write_data", side_effect=OSError("no space left"))
        try:
            with full if dist.get_rank() == 2 else nullcontext():
                saver.save(path, {"state_dict": other.state_dict()}, {}, full=False, background=background)
                saver.close()
            wrong.append("nobody was told that a rank could not write")
        except NotSaved as fault:
            wrong += [] if "rank 2: OSError: no space left" in str(fault) else [str(fault)]
    rest = read(path, {"state_dict": other}).rest
    wrong += (
        [] if torch.equal(other.weight, model.weight) and rest == MORE else ["it is not the last good one"]
    )
    return wrong + [item for item in os.listdir(folder) if item.startswith(".plain")]
