"""Load a checkpoint into a model and optimizers, on the mesh they are on."""

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
"""The key of the list of states that Lightning's Trainer writes into a file."""
_WEIGHT_KEYS = ("state_dict", "model")
"""The keys of weights in checkpoints of other programs."""


class LoadResult(NamedTuple):
    """What a checkpoint has besides the states, and what the user should know."""

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
    """Load a checkpoint that was written on any mesh, or by an unsplit model. All ranks call this alike.

    Each rank reads its own slices, of files and folders alike. From a checkpoint of weights alone, weights
    are loaded, optimizers stay as they are, and a note says so. An optimizer takes the settings that the
    checkpoint has, except those that choose an implementation (`foreach`, `fused`, ...).

    Args:
        path: a path or a URL; rank 0's counts.
        into: one model, and any number of optimizers of its parameters, each by its key in the checkpoint:
            `{"state_dict": model, "optimizer_0": optimizer}` for Lightning's Trainer, the names that
            the user gave for Fabric. In a file, `optimizer_states[n]` stands for the n-th optimizer, too.
        strict: raise where names or shapes do not fit; else load what fits, and return notes about the others.
        weights_only: what `torch.load` may unpickle of everything that is not a tensor.
        storage_options: for URLs, the options of fsspec's file system.

    Raises:
        WeightsError: there is no checkpoint; or names are missing or surplus, or shapes are wrong: all of
            them are listed, and nothing has been changed.
        ValueError: `into` has no model, or several.
    """
    key, model = _only_model(into)
    optimizers = {name: item for name, item in into.items() if isinstance(item, Optimizer)}
    location = run_on_rank_zero(lambda: os.fspath(path))
    reader = sync_errors(lambda: open_checkpoint(storage_at(location, storage_options), weights_only))
    weights_key, weights = _find_weights(reader, key, location)
    model_plan = plan_model_load(model, weights)
    optimizer_plans, missing = _plan_optimizer_loads(reader, model, optimizers, model_plan.mismatched_names)
    mismatches = gather_lines(
        [*model_plan.mismatches, *missing, *(line for plan in optimizer_plans for line in plan.mismatches)]
    )
    if mismatches and strict:
        raise WeightsError(f"'{location}' does not fit {type(model).__name__}:", mismatches)
    requests = [
        *model_plan.requests,
        *(request for plan in optimizer_plans for request in plan.requests),
    ]
    with torch.no_grad():
        sync_errors(lambda: reader.read_into(requests))
        model_plan.load()
        for plan in optimizer_plans:
            plan.load()
    notes = [f"not loaded: {line}" for line in mismatches]
    if weights_key != key:
        used = repr(weights_key) if weights_key else "top level"
        notes.append(f"'{location}' has no '{key}': the weights are its {used}")
    if optimizers and not optimizer_plans:
        notes.append(f"'{location}' has no states of optimizers: weights are loaded, optimizers start afresh")
    states = {weights_key, *optimizers, *([_OPTIMIZER_STATES_KEY] if optimizer_plans else [])}
    return LoadResult(reader.rest(states) if weights_key else {}, tuple(notes))


def _plan_optimizer_loads(
    reader: CheckpointReader,
    model: nn.Module,
    optimizers: Mapping[str, Optimizer],
    mismatched_names: AbstractSet[str],
) -> tuple[list[OptimizerLoadPlan], list[str]]:
    """A plan for each optimizer whose state is saved; and, where only some are, which ones are missing."""
    states = {name: _find_optimizer_state(reader, name, n) for n, name in enumerate(optimizers)}
    saved = {name: state for name, state in states.items() if state is not None}
    plans = [
        plan_optimizer_load(
            name,
            state,
            optimizers[name],
            optimizer_param_names(model, optimizers[name]),
            mismatched_names,
        )
        for name, state in saved.items()
    ]
    return plans, [f"there is no '{name}'" for name in states if saved and name not in saved]


def _only_model(into: Mapping[str, nn.Module | Optimizer]) -> tuple[str, nn.Module]:
    models = [(key, item) for key, item in into.items() if isinstance(item, nn.Module)]
    if len(models) != 1:
        raise ValueError(f"one model is loaded at a time, and {len(models)} were given")
    return models[0]


def _find_weights(reader: CheckpointReader, key: str, location: str) -> tuple[str, Mapping[str, Any]]:
    """The key of the weights, and the weights; the key is empty in a file that holds nothing else."""
    for name in (key, *_WEIGHT_KEYS):
        if isinstance(reader.tree.get(name), Mapping):
            return name, reader.tree[name]
    if any(isinstance(value, TensorEntry) for value in reader.tree.values()):
        return "", reader.tree
    has = ", ".join(f"'{name}'" for name in reader.tree) or "nothing"
    raise WeightsError(f"'{location}' has no '{key}'; it has {has}")


def _find_optimizer_state(reader: CheckpointReader, key: str, number: int) -> Mapping[str, Any] | None:
    listed = reader.tree.get(_OPTIMIZER_STATES_KEY)
    states = listed if isinstance(listed, list) else []
    state = reader.tree.get(key, states[number] if number < len(states) else None)
    return state if isinstance(state, Mapping) and state.get("param_groups") is not None else None
