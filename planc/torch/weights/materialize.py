"""Memory and initial values for a model on the meta device, split or not."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from planc.ir.errors import WeightsError
from planc.torch.compat import own_buffers, own_parameters
from planc.torch.weights.init_recorder import InitRecorder, InitRecordingError, StorageView, record_init
from planc.torch.weights.init_replay import InitReplay
from planc.torch.weights.load import load_into, plan_reads
from planc.torch.weights.load_targets import LoadTarget, load_targets
from planc.torch.weights.name_mapping import unsharded_class

ModelFactory = Callable[[], nn.Module]


def materialize_model(
    model: nn.Module,
    device: torch.device | str | None,
    seed: int | None,
    weights: str | os.PathLike[str] | None,
    build: ModelFactory | None,
) -> int:
    """Allocate this rank's shards of a model and initialize them.

    Args:
        device: None: the device of the mesh, else the CPU.
        seed: initialize as the unsplit model does after `torch.manual_seed(seed)`; or
        weights: load them from a path, as `load_into` does.
        build: makes the unsplit model; None: planc knows how, for models of transformers.

    Returns:
        The most bytes that full tensors took at a time.

    Raises:
        WeightsError: planc cannot initialize the model, or the weights do not match; nothing has been changed.
    """
    if (seed is None) == (weights is None):
        raise WeightsError("materialize needs a seed or weights: give one of them")
    if weights is not None:
        plan_reads(model, weights, allocated=False)
    unsplit, recorder = _record_build(model, build)
    tensors = _match_unsplit(model, unsplit, load_targets(model, all_buffers=True))
    _allocate(model, _default_device(model, device))
    targets = load_targets(model, all_buffers=True)
    loaded = {name for target in load_targets(model) for name in target.names}
    if weights is not None:
        targets = [target for target in targets if target.names[0] not in loaded]
    peak = _replay_into(targets, tensors, recorder, seed)
    if weights is not None:
        load_into(model, weights)
    return peak


def _record_build(model: nn.Module, build: ModelFactory | None) -> tuple[nn.Module, InitRecorder]:
    if build is None:
        if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
            raise WeightsError(
                f"planc does not know how to build {type(model).__name__}: give build=..., a function that returns the "
                "unsplit model"
            )
        build = _transformers_factory(model)
    with torch.random.fork_rng(devices=[]):
        try:
            return record_init(build)
        except InitRecordingError as error:
            raise WeightsError(
                f"planc cannot initialize {type(model).__name__} tensor by tensor: {error}"
            ) from error


def _transformers_factory(model: Any) -> ModelFactory:
    return lambda: unsharded_class(model)(copy.deepcopy(model.config))


def _match_unsplit(model: nn.Module, unsplit: nn.Module, targets: list[LoadTarget]) -> dict[str, Tensor]:
    """The tensors of the unsplit model by name, if they match those of the model."""
    built = {
        name: target.tensor for target in load_targets(unsplit, all_buffers=True) for name in target.names
    }
    mismatches = [
        f"'{name}.{own}' is on the meta device, and is neither a parameter nor a buffer"
        for name, module in model.named_modules()
        for own, value in vars(module).items()
        if isinstance(value, Tensor) and value.is_meta
    ]
    for target in targets:
        shape = tuple(target.tensor.shape)
        for name in target.names:
            if name not in built:
                mismatches.append(f"the model that build=... returns has no '{name}'")
            elif built[name].shape != shape:
                mismatches.append(
                    f"'{name}' is {tuple(built[name].shape)} in the model that build=... returns, and {shape} in this one"
                )
    if mismatches:
        raise WeightsError(f"planc cannot initialize {type(model).__name__}:", mismatches)
    return built


def _default_device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    split = next((p for p in model.parameters() if isinstance(p, DTensor)), None)
    return torch.device("cpu" if split is None else split.device_mesh.device_type)


def _allocate(model: nn.Module, device: torch.device) -> None:
    """Allocate the rank's shards. Tied tensors stay one."""
    tied = [target.names for target in load_targets(model, all_buffers=True) if len(target.names) > 1]
    model.to_empty(device=device)
    for first, *others in tied:
        tensor = _get_tensor(model, first)
        for name in others:
            owner, _, own = name.rpartition(".")
            module = model.get_submodule(owner)
            table: Any = own_parameters(module) if own in own_parameters(module) else own_buffers(module)
            table[own] = tensor


def _get_tensor(model: nn.Module, name: str) -> Tensor:
    owner, _, own = name.rpartition(".")
    tensor: Tensor = getattr(model.get_submodule(owner), own)
    return tensor


def _replay_into(
    targets: list[LoadTarget], unsplit: dict[str, Tensor], recorder: InitRecorder, seed: int | None
) -> int:
    """Initialize tensors, each from its storage in the unsplit model. Returns the most bytes of full tensors."""
    by_storage: dict[int, list[tuple[LoadTarget, StorageView]]] = {}
    for target in targets:
        tensor = unsplit[target.names[0]].detach()
        if tensor.is_meta:
            view = recorder.view_of(tensor)
            by_storage.setdefault(view.storage, []).append((target, view))
        else:
            _copy_local_slices(target, tensor)

    def initialize(storage: int, tensor_of: Callable[[StorageView], Tensor]) -> None:
        for target, view in by_storage[storage]:
            _copy_local_slices(target, tensor_of(view))

    replay = InitReplay(recorder, by_storage, replay_rng=seed is not None)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed or 0)
        replay.run(initialize)
    return replay.peak


def _copy_local_slices(target: LoadTarget, full: Tensor) -> None:
    with torch.no_grad():
        for bounds, dest in target.local_slices():
            dest.copy_(full[tuple(slice(first, first + size) for first, size in bounds)])
