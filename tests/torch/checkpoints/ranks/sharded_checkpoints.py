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
from planc.torch.apply.packed_params import full_param
from planc.torch.checkpoints.load_checkpoint import load_checkpoint
from planc.torch.checkpoints.save_checkpoint import CheckpointNotSaved
from planc.torch.checkpoints.saver import CheckpointSaver
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict
from tests.torch.apply.ranks.fsdp import Toy
from tests.torch.apply.ranks.models import BATCH, build_model, example_inputs, plan_text
from tests.torch.apply.ranks.training import batch_shard, compute_loss, run_model

STEPS_BEFORE, STEPS_AFTER = 2, 5
TOLERANCE = 1e-5
METADATA = {"epoch": 3, "planc": {"plan": "text", "mesh": {"dp": 2, "tp": 2}}}


class UnsplitRun(NamedTuple):
    """What an unsplit model does: losses of steps, its numbers, and what its optimizer holds."""

    losses: list[float]
    mid_state: dict[str, Tensor]
    optimizer_state: dict[str, Any]
    final_state: dict[str, Tensor]


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Epsilon is far above rounding, so that no entry takes steps for its sake."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1)


@cache
def unsplit_run(name: str) -> UnsplitRun:
    """The model as it is, trained for all steps at once."""
    model = build_model(name)
    optimizer = make_optimizer(model)
    losses = train_losses(name, model, optimizer, None, STEPS_BEFORE)
    halfway = {key: item.clone() for key, item in model.state_dict().items()}
    saved = clone_tree(optimizer.state_dict())
    losses += train_losses(name, model, optimizer, None, STEPS_AFTER)
    return UnsplitRun(losses, halfway, saved, model.state_dict())


def clone_tree(tree: Any) -> Any:
    """A copy of a tree of tensors."""
    if isinstance(tree, dict):
        return {key: clone_tree(value) for key, value in tree.items()}
    return tree.clone() if isinstance(tree, Tensor) else tree


def train_losses(
    name: str, model: nn.Module, optimizer: torch.optim.Optimizer, mesh: DeviceMesh | None, count: int
) -> list[float]:
    """Losses of some steps, on the rank's part of one batch."""
    inputs, found = example_inputs(name), []
    labels = torch.randint(0, 128, (BATCH, 12), generator=torch.Generator().manual_seed(2))
    number, parts = batch_shard(mesh) if mesh is not None else (0, 1)
    own = slice(number * BATCH // parts, (number + 1) * BATCH // parts)
    for _ in range(count):
        optimizer.zero_grad()
        loss = compute_loss(run_model(model, {key: item[own] for key, item in inputs.items()}), labels[own])
        loss.backward()
        optimizer.step()
        total = loss.detach().clone()
        if mesh is not None:
            dist.all_reduce(total)
            total /= dist.get_world_size()
        found.append(float(total))
    return found


def build_on_mesh(
    name: str, sizes: dict[str, int], graph: str | None, seed: int = 0
) -> tuple[Any, Any, DeviceMesh | None]:
    """A model on a mesh, or in one process; with other numbers for a seed."""
    model = build_model(name)
    if seed:
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
    mesh = None
    if sizes:
        mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
        planc.parallelize(model, planc.parse(plan_text(name, recompute=False)), mesh, graph=graph)
    return model, make_optimizer(model), mesh


def save_checkpoints(name: str, sizes: dict[str, int], graph: str | None, folder: str) -> list[str]:
    """Train and save both forms, the folder in the background; then train on."""
    model, optimizer, mesh = build_on_mesh(name, sizes, graph)
    losses = train_losses(name, model, optimizer, mesh, STEPS_BEFORE)
    saver, wrong = CheckpointSaver(), []
    for full in (False, True):
        state = model_state_dict(model, full=full)
        optimizers = optimizer_state_dict(model, optimizer, full=full)
        keys = {"optimizer_states": [optimizers]} if full else {"optimizer_0": optimizers}
        path = os.path.join(folder, "file" if full else "folder")
        if full and sizes and dist.get_rank():
            wrong += ["a rank other than the first holds whole tensors"] if state or optimizers else []
        saver.save(path, {"state_dict": state, **keys}, METADATA, full=full, background=not full)
        if not full:
            losses += train_losses(name, model, optimizer, mesh, STEPS_AFTER)
            # The file is of the same moment, which shows what was read into a model that has moved on.
            saver.wait()
            load_checkpoint(path, {"state_dict": model, "optimizer_0": optimizer})
    saver.close()
    return wrong + list(_compare("losses", torch.tensor(losses), torch.tensor(unsplit_run(name).losses)))


def resume_checkpoint(name: str, sizes: dict[str, int], graph: str | None, path: str) -> list[str]:
    """Load into a model of other numbers, and train on."""
    model, optimizer, mesh = build_on_mesh(name, sizes, graph, seed=1)
    found = load_checkpoint(path, {"state_dict": model, "optimizer_0": optimizer})
    wrong = [] if found.rest == METADATA else [f"the rest is {found.rest}"]
    wrong += [*found.notes]
    wanted = unsplit_run(name)
    for key, item in wanted.mid_state.items():
        wrong += _compare(f"{key} as loaded", _full_tensor(model, key), item)
    losses = train_losses(name, model, optimizer, mesh, STEPS_AFTER)
    wrong += _compare("losses", torch.tensor(losses), torch.tensor(wanted.losses[STEPS_BEFORE:]))
    for key, item in wanted.final_state.items():
        wrong += _compare(f"{key} after {STEPS_AFTER} steps", _full_tensor(model, key), item)
    return wrong


def _full_tensor(model: nn.Module, name: str) -> Tensor:
    if name in dict(model.named_buffers()):
        return model.get_buffer(name)
    return full_param(model, name)


def _compare(what: str, got: Tensor, wanted: Tensor) -> Iterator[str]:
    if got.shape != wanted.shape:
        yield f"{what} has shape {tuple(got.shape)}, not {tuple(wanted.shape)}"
        return
    off = float((got - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-30)
    if not off <= TOLERANCE:
        yield f"{what}: off by {off:.1e}"


def matches_unsplit(name: str, path: str) -> list[str]:
    """A file is what a run that was never split would have written: names, order, numbers, settings."""
    wanted, saved = unsplit_run(name), torch.load(path)
    optimizer, kept = saved["optimizer_states"][0], wanted.optimizer_state
    wrong = [] if list(saved["state_dict"]) == list(wanted.mid_state) else ["names or their order"]
    wrong += [] if optimizer["param_groups"] == kept["param_groups"] else ["groups"]
    wrong += [] if list(optimizer["state"]) == list(kept["state"]) else ["numbers of parameters"]
    for key, item in wanted.mid_state.items():
        wrong += _compare(key, saved["state_dict"][key], item)
    for number, values in kept["state"].items():
        for key, item in values.items():
            wrong += _compare(f"{key} of {number}", optimizer["state"][number][key], item)
    return wrong


# ---- a small model with all kinds of optimizers ---------------------------------------


def build_toy(sizes: dict[str, int], seed: int, wrapped: bool = False) -> tuple[Any, list[Any]]:
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


def toy_losses(
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
    model, optimizers = build_toy({}, 0)
    return toy_losses(model, optimizers, 0, STEPS_BEFORE + STEPS_AFTER, {})


def toy_save(sizes: dict[str, int], folder: str) -> None:
    """Save both forms."""
    model, optimizers = build_toy(sizes, 0, wrapped=True)
    toy_losses(model, optimizers, 0, STEPS_BEFORE, sizes)
    with torch.no_grad():
        # The root has whole parameters now; states are of the sharded ones.
        model(torch.zeros(2, 3, dtype=torch.int64))
    for full in (False, True):
        states = [optimizer_state_dict(model, optimizer, full=full) for optimizer in optimizers]
        keys: dict[str, Any] = {f"optimizer_{n}": state for n, state in enumerate(states)}
        tensors = {"state_dict": model_state_dict(model, full=full)} | (
            {"optimizer_states": states} if full else keys
        )
        CheckpointSaver().save(
            os.path.join(folder, "file" if full else "folder"), tensors, METADATA, full=full
        )


def toy_resume(sizes: dict[str, int], path: str) -> list[str]:
    """Load on another mesh, and train on."""
    model, optimizers = build_toy(sizes, 1)
    toy_losses(model, optimizers, 9, 1, sizes)
    with torch.no_grad():
        model(torch.zeros(2, 3, dtype=torch.int64))
    load_checkpoint(
        path, {"state_dict": model, **{f"optimizer_{n}": item for n, item in enumerate(optimizers)}}
    )
    losses = toy_losses(model, optimizers, STEPS_BEFORE, STEPS_AFTER, sizes)
    return list(_compare("losses", torch.tensor(losses), torch.tensor(toy_unsplit()[STEPS_BEFORE:])))


def toy_rejections(sizes: dict[str, int], path: str) -> list[str]:
    """Every rank reports what does not fit, or what one rank cannot read; nothing is changed."""
    model, optimizers = build_toy(sizes, 1)
    before = {key: _local_tensor(item).clone() for key, item in model.state_dict().items()}
    messages = []

    def tried(where: str) -> None:
        try:
            load_checkpoint(where, {"state_dict": model, "optimizer_0": optimizers[1]})
        except (planc.WeightsError, OSError) as bad:
            messages.append(str(bad))

    tried(path + ".none")
    if dist.get_rank() == 2:
        with patch(
            "planc.torch.checkpoints.load_checkpoint.open_checkpoint", side_effect=OSError("not on this node")
        ):
            tried(path)
    else:
        tried(path)
    model.add_module("more", nn.Linear(2, 2))
    tried(path)
    changed = [
        key for key, item in before.items() if not torch.equal(_local_tensor(model.state_dict()[key]), item)
    ]
    return [*messages, *changed]


def _local_tensor(item: Tensor) -> Tensor:
    return item.to_local() if isinstance(item, DTensor) else item


def bytes_read(sizes: dict[str, int], path: str) -> list[int]:
    """What a rank reads of a file, and what it holds."""
    from planc.torch.checkpoints.model_load import plan_model_load
    from planc.torch.checkpoints.reader import open_checkpoint
    from planc.torch.checkpoints.storage import storage_at

    model, _ = build_toy(sizes, 1)
    source = open_checkpoint(storage_at(path), None)
    with torch.no_grad():
        read_ = source.read_into(plan_model_load(model, source.tree["state_dict"]).requests)
    return [read_, sum(_local_tensor(item).nbytes for item in model.state_dict().values())]


class SharedDisk(LocalFileSystem):  # type: ignore[misc]
    """A file system behind a URL that all ranks share."""

    protocol = "planc-disk"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix("planc-disk://"))


def save_to_url(sizes: dict[str, int], folder: str) -> list[str]:
    """Save behind a URL, twice, and load from there."""
    fsspec.register_implementation("planc-disk", SharedDisk, clobber=True)
    model, optimizers = build_toy(sizes, 0)
    toy_losses(model, optimizers, 0, STEPS_BEFORE - 1, sizes)
    url, saver = f"planc-disk://{folder}/deep/it", CheckpointSaver()
    for last in (False, True):
        if last:
            toy_losses(model, optimizers, STEPS_BEFORE - 1, 1, sizes)
        states = [optimizer_state_dict(model, optimizer, full=False) for optimizer in optimizers]
        keys: dict[str, Any] = {f"optimizer_{n}": state for n, state in enumerate(states)}
        tensors = {"state_dict": model_state_dict(model, full=False), **keys}
        saver.save(url, tensors, METADATA, full=False, background=last)
    saver.close()
    wrong = toy_resume(sizes, url)
    names = [item.rpartition("_")[0] for item in os.listdir(f"{folder}/deep/it") if item.endswith(".distcp")]
    return wrong + ([] if len(names) == dist.get_world_size() else names)


def save_plain_model(folder: str) -> list[str]:
    """A model without any DTensor, on all ranks; then one of them cannot write."""
    torch.manual_seed(0)
    model, path, saver = nn.Linear(3, 3), os.path.join(folder, "plain"), CheckpointSaver()
    saver.save(path, {"state_dict": model.state_dict()}, METADATA, full=False)
    torch.manual_seed(1)
    other, wrong = nn.Linear(3, 3), []
    for background in (False, True):
        full = patch.object(FileSystemWriter, "write_data", side_effect=OSError("no space left"))
        try:
            with full if dist.get_rank() == 2 else nullcontext():
                saver.save(path, {"state_dict": other.state_dict()}, {}, full=False, background=background)
                saver.close()
            wrong.append("no error although a rank could not write")
        except CheckpointNotSaved as fault:
            wrong += [] if "rank 2: OSError: no space left" in str(fault) else [str(fault)]
    rest = load_checkpoint(path, {"state_dict": other}).rest
    wrong += (
        []
        if torch.equal(other.weight, model.weight) and rest == METADATA
        else ["it is not the last good one"]
    )
    return wrong + [item for item in os.listdir(folder) if item.startswith(".plain")]
