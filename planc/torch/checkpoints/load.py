"""Read a checkpoint into a model and optimizers, on the mesh they are on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from planc.ir.errors import WeightsError
from planc.torch.checkpoints.model_load import plan_model_load
from planc.torch.checkpoints.optimizer_load import OptimizerLoadPlan, plan_optimizer_load
from planc.torch.checkpoints.param_names import optimizer_param_names
from planc.torch.checkpoints.rank_sync import gather_lines, run_on_rank_zero, sync_errors
from planc.torch.checkpoints.reader import CheckpointReader, TensorEntry, open_checkpoint
from planc.torch.checkpoints.storage import PathOrUrl, storage_at

_OPTIMIZER_STATES_KEY = "optimizer_states"
"""Where Lightning's trainer has the states of all optimizers, in a file."""
_WEIGHT_KEYS = ("state_dict", "model")
"""What weights may be called in checkpoints of others."""


class LoadResult(NamedTuple):
    """What a checkpoint held beside the states, and what should be said to the user."""

    rest: dict[str, Any]
    notes: tuple[str, ...]
    """What was not loaded; the same on all ranks."""


def load_checkpoint(
    path: PathOrUrl,
    into: Mapping[str, nn.Module | Optimizer],
    *,
    strict: bool = True,
    weights_only: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> LoadResult:
    """Load a checkpoint, written on any mesh, or by an unsplit model. All ranks call this alike.

    Each rank reads its own slices, of files and folders alike. Where there are weights alone, they are
    loaded, optimizers stay as they are, and a note says so. Settings of optimizers are taken as far as the
    checkpoint has them, except those that say how this run computes (`foreach`, `fused`, ...).

    Args:
        path: a path or a URL; that of the first rank holds.
        into: one model, and any number of optimizers of its parameters, each by its key in the checkpoint:
            `{"state_dict": model, "optimizer_0": optimizer}` for Lightning's trainer, the names that
            the user gave for Fabric. In a file, `optimizer_states[n]` does for the n-th optimizer, too.
        strict: names and shapes must fit; else what fits is loaded, and notes say what did not.
        weights_only: what `torch.load` may unpickle of all that is no tensor.
        storage_options: for URLs, what fsspec is told of the file system.

    Raises:
        WeightsError: there is no checkpoint; or names are missing or surplus, or shapes are wrong: all of
            them, and nothing has been changed.
        ValueError: `into` holds no model, or several.
    """
    key, model = _only_model(into)
    optimizers = {name: item for name, item in into.items() if isinstance(item, Optimizer)}
    where = run_on_rank_zero(lambda: os.fspath(path))
    source = sync_errors(lambda: open_checkpoint(storage_at(where, storage_options), weights_only))
    used, found = _find_weights(source, key, where)
    own = plan_model_load(model, found)
    fits, missing = _plan_optimizer_loads(source, model, optimizers, own.mismatched_names)
    faults = gather_lines([*own.mismatches, *missing, *(fault for fit in fits for fault in fit.mismatches)])
    if faults and strict:
        raise WeightsError(f"'{where}' does not fit {type(model).__name__}:", faults)
    with torch.no_grad():
        sync_errors(
            lambda: source.read_into([*own.requests, *(item for fit in fits for item in fit.requests)])
        )
        own.load()
        for fit in fits:
            fit.load()
    notes = [f"not loaded: {fault}" for fault in faults]
    if used != key:
        notes.append(f"'{where}' has no '{key}': the weights are its {repr(used) if used else 'top level'}")
    if optimizers and not fits:
        notes.append(f"'{where}' has no states of optimizers: weights are loaded, optimizers start afresh")
    rest = source.rest({used, *optimizers, *([_OPTIMIZER_STATES_KEY] if fits else [])}) if used else {}
    return LoadResult(rest, tuple(notes))


def _plan_optimizer_loads(
    source: CheckpointReader, model: nn.Module, optimizers: Mapping[str, Optimizer], misfits: AbstractSet[str]
) -> tuple[list[OptimizerLoadPlan], list[str]]:
    """The states of optimizers, if there are any, and what is wrong where there are some only."""
    states = {name: _find_optimizer_state(source, name, n) for n, name in enumerate(optimizers)}
    there = {name: state for name, state in states.items() if state is not None}
    fits = [
        plan_optimizer_load(
            name, state, optimizers[name], optimizer_param_names(model, optimizers[name]), misfits
        )
        for name, state in there.items()
    ]
    return fits, [f"there is no '{name}'" for name in states if there and name not in there]


def _only_model(into: Mapping[str, nn.Module | Optimizer]) -> tuple[str, nn.Module]:
    models = [(key, item) for key, item in into.items() if isinstance(item, nn.Module)]
    if len(models) != 1:
        raise ValueError(f"one model is loaded at a time, and {len(models)} were given")
    return models[0]


def _find_weights(source: CheckpointReader, key: str, where: str) -> tuple[str, Mapping[str, Any]]:
    """The key of the weights, and the weights; a file of nothing but weights has no key for them."""
    for name in (key, *_WEIGHT_KEYS):
        if isinstance(source.tree.get(name), Mapping):
            return name, source.tree[name]
    if any(isinstance(value, TensorEntry) for value in source.tree.values()):
        return "", source.tree
    has = ", ".join(f"'{name}'" for name in source.tree) or "nothing"
    raise WeightsError(f"'{where}' has no '{key}'; it has {has}")


def _find_optimizer_state(source: CheckpointReader, key: str, number: int) -> Mapping[str, Any] | None:
    listed = source.tree.get(_OPTIMIZER_STATES_KEY)
    several = listed if isinstance(listed, list) else []
    found = source.tree.get(key, several[number] if number < len(several) else None)
    return found if isinstance(found, Mapping) and found.get("param_groups") is not None else None
