"""Checkpoints of Trainer and Fabric, which planc writes atomically, and reads on any mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn
from torch.distributed.checkpoint.stateful import Stateful
from torch.optim import Optimizer

from planc.lightning import compat
from planc.lightning.plan_session import PlanSession
from planc.torch.checkpoints.load_checkpoint import load_checkpoint
from planc.torch.checkpoints.saver import CheckpointSaver
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict

PLAN_KEY = "planc"
"""The key under which a checkpoint keeps its plan: text, digest and mesh."""
StateFilter = Mapping[str, Callable[[str, Any], bool]]
"""By the key of a Fabric state, which entries of a state dict to save."""


def save_trainer_checkpoint(
    saver: CheckpointSaver,
    checkpoint: Mapping[str, Any],
    path: str,
    session: PlanSession,
    *,
    full: bool,
    background: bool,
) -> None:
    """Write what the Trainer has gathered, in Lightning's format. All ranks call this.

    Args:
        checkpoint: with `state_dict`, and `optimizer_states` unless it has weights alone.
        full: write one file, else a folder of shards.
        background: return as soon as everything is copied.
    """
    rest = dict(checkpoint) | {PLAN_KEY: session.checkpoint_metadata()}
    tensors = {"state_dict": rest.pop("state_dict")}
    states = rest.pop("optimizer_states", None)
    if states is not None and full:
        tensors["optimizer_states"] = states
    elif states is not None:
        tensors |= {_optimizer_key(number): state for number, state in enumerate(states)}
    saver.save(path, tensors, rest, full=full, background=background)


def load_trainer_checkpoint(
    path: str,
    module: nn.Module,
    optimizers: Sequence[Optimizer],
    session: PlanSession,
    strict: bool,
    weights_only: bool | None,
) -> dict[str, Any]:
    """Load weights and optimizers, and return everything else that the Trainer saved. All ranks call this.

    Raises:
        planc.WeightsError: the checkpoint does not fit the model; nothing has been changed.
    """
    into: dict[str, nn.Module | Optimizer] = {
        "state_dict": module,
        **{_optimizer_key(number): optimizer for number, optimizer in enumerate(optimizers)},
    }
    rest, notes = load_checkpoint(path, into, strict=strict, weights_only=weights_only)
    _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
    # Lightning asks for these when it resumes, and a checkpoint of weights alone has none.
    rest.setdefault("lr_schedulers", [])
    return rest


def save_fabric_state(
    saver: CheckpointSaver,
    path: str,
    state: Mapping[str, Any],
    session: PlanSession,
    filters: StateFilter,
    *,
    full: bool,
    background: bool,
) -> None:
    """Write a Fabric state, each object under its key. All ranks call this.

    Raises:
        ValueError: the state has no model, or several.
        NotImplementedError: a filter for a folder of shards, as in Lightning.
    """
    if filters and not full:
        raise NotImplementedError(
            "a filter needs save_distributed_checkpoint=False: a folder of shards is saved completely"
        )
    models = [item for item in state.values() if isinstance(item, nn.Module)]
    if len(models) != 1:
        raise ValueError(
            f"one model is saved at a time, and the state has {len(models)}: state={{'model': model, ...}}"
        )
    tensors: dict[str, Any] = {}
    rest: dict[str, Any] = {PLAN_KEY: session.checkpoint_metadata()}
    for key, item in state.items():
        if isinstance(item, nn.Module):
            compat.apply_filter(key, dict(filters), model_state_dict(item, full=full), tensors)
        elif isinstance(item, Optimizer):
            states = optimizer_state_dict(models[0], item, full=full)
            compat.apply_filter(key, dict(filters), states, tensors)
        else:
            value = item.state_dict() if isinstance(item, Stateful) else item
            compat.apply_filter(key, dict(filters), value, rest)
    saver.save(path, tensors, rest, full=full, background=background)


def load_fabric_state(
    path: str, state: Any, session: PlanSession, strict: bool, weights_only: bool | None
) -> dict[str, Any]:
    """Load a checkpoint into the objects of a Fabric state, or weights into a model. All ranks call this.

    Returns:
        What the checkpoint has and the state does not ask for.

    Raises:
        planc.WeightsError: the checkpoint does not fit the model; nothing has been changed.
        KeyError: the checkpoint lacks what the state asks for.
    """
    if isinstance(state, nn.Module):
        # The empty key: the file has the weights at its top level.
        rest, notes = load_checkpoint(path, {"": state}, strict=strict, weights_only=weights_only)
        _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
        return {}
    into = {key: item for key, item in state.items() if isinstance(item, nn.Module | Optimizer)}
    rest, notes = load_checkpoint(path, into, strict=strict, weights_only=weights_only)
    _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
    requested = state.keys() - into.keys()
    compat.validate_keys(requested, rest.keys(), strict=strict)
    compat.move_state_into(source=rest, destination=state, keys=requested)
    return rest


def _optimizer_key(number: int) -> str:
    return f"optimizer_{number}"


def _report_load(path: str, saved_plan: Any, notes: Sequence[str], session: PlanSession) -> None:
    """Warn about what was not loaded, and mention that the plan or the mesh has changed."""
    for note in notes:
        rank_zero_warn(f"planc: {note}")
    current = session.checkpoint_metadata()
    if not isinstance(saved_plan, Mapping) or saved_plan == current:
        return
    changed = [
        name for name, key in (("plan", "digest"), ("mesh", "mesh")) if saved_plan.get(key) != current[key]
    ]
    mesh = " x ".join(f"{name}={size}" for name, size in dict(saved_plan.get("mesh", {})).items())
    rank_zero_info(
        f"planc: '{path}' was saved under another {' and '.join(changed)} ({mesh}); it is loaded into this one"
    )
