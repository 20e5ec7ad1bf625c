"""Checkpoints of Lightning, by way of planc's: whole or not there, and for any mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.fabric.strategies.strategy import _apply_filter, _validate_keys_for_strict_loading
from lightning.fabric.utilities.load import _move_state_into
from lightning.fabric.utilities.types import _Stateful
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn
from torch.optim import Optimizer

from planc.lightning.plan_session import PlanSession
from planc.torch.checkpoints.load import load_checkpoint
from planc.torch.checkpoints.saver import CheckpointSaver
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict

PLAN_KEY = "planc"
"""The key of what a checkpoint keeps of its plan: text, digest and mesh."""
StateFilter = Mapping[str, Callable[[str, Any], bool]]


def save_trainer_checkpoint(
    saver: CheckpointSaver,
    checkpoint: Mapping[str, Any],
    path: str,
    session: PlanSession,
    *,
    full: bool,
    background: bool,
) -> None:
    """Write what the Trainer has gathered, in Lightning's form."""
    rest = dict(checkpoint) | {PLAN_KEY: session.checkpoint_metadata()}
    tensors = {"state_dict": rest.pop("state_dict")}
    states = rest.pop("optimizer_states", None)
    if states is not None:
        tensors |= (
            {"optimizer_states": states}
            if full
            else {_optimizer_key(n): state for n, state in enumerate(states)}
        )
    saver.save(path, tensors, rest, full=full, background=background)


def load_trainer_checkpoint(
    path: str,
    module: nn.Module,
    optimizers: Sequence[Optimizer],
    session: PlanSession,
    strict: bool,
    weights_only: bool | None,
) -> dict[str, Any]:
    """Load weights and optimizers; give what else the Trainer has saved.

    Raises:
        planc.WeightsError: it does not fit the model; nothing has been changed.
    """
    into: dict[str, nn.Module | Optimizer] = {
        "state_dict": module,
        **{_optimizer_key(n): optimizer for n, optimizer in enumerate(optimizers)},
    }
    rest, notes = load_checkpoint(path, into, strict=strict, weights_only=weights_only)
    _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
    # Lightning asks for it where it resumes, and a checkpoint of weights alone has none.
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
    """Write what the user of Fabric gives, each object by its key.

    Raises:
        ValueError: the state has no model, or several.
        NotImplementedError: a filter for a folder of shards, as in Lightning.
    """
    if filters and not full:
        raise NotImplementedError(
            "a filter needs save_distributed_checkpoint=False: shards are saved all or none"
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
            _apply_filter(key, dict(filters), model_state_dict(item, full=full), tensors)
        elif isinstance(item, Optimizer):
            _apply_filter(key, dict(filters), optimizer_state_dict(models[0], item, full=full), tensors)
        else:
            _apply_filter(
                key, dict(filters), item.state_dict() if isinstance(item, _Stateful) else item, rest
            )
    saver.save(path, tensors, rest, full=full, background=background)


def load_fabric_state(
    path: str, state: Any, session: PlanSession, strict: bool, weights_only: bool | None
) -> dict[str, Any]:
    """Load a checkpoint of Fabric into the objects of a state, or weights into a model. Gives what the
    state does not ask for.

    Raises:
        planc.WeightsError: it does not fit the model; nothing has been changed.
        KeyError: the checkpoint lacks what the state asks for.
    """
    if isinstance(state, nn.Module):
        # No key: weights at the top level are what is expected here.
        rest, notes = load_checkpoint(path, {"": state}, strict=strict, weights_only=weights_only)
        _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
        return {}
    into = {key: item for key, item in state.items() if isinstance(item, nn.Module | Optimizer)}
    rest, notes = load_checkpoint(path, into, strict=strict, weights_only=weights_only)
    _report_load(path, rest.pop(PLAN_KEY, None), notes, session)
    wanted = state.keys() - into.keys()
    _validate_keys_for_strict_loading(wanted, rest.keys(), strict=strict)
    _move_state_into(source=rest, destination=state, keys=wanted)
    return rest


def _optimizer_key(number: int) -> str:
    return f"optimizer_{number}"


def _report_load(path: str, saved: Any, notes: Sequence[str], session: PlanSession) -> None:
    """Tell what was not loaded, and that the plan or the mesh is another one now."""
    for note in notes:
        rank_zero_warn(f"planc: {note}")
    now = session.checkpoint_metadata()
    if not isinstance(saved, Mapping) or saved == now:
        return
    changed = [what for what, key in (("plan", "digest"), ("mesh", "mesh")) if saved.get(key) != now[key]]
    meshes = " x ".join(f"{name}={size}" for name, size in dict(saved.get("mesh", {})).items())
    rank_zero_info(
        f"planc: '{path}' was saved under another {' and '.join(changed)} ({meshes}); it is loaded into this one"
    )
