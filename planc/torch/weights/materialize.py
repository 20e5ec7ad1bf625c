"""Memory and numbers for a model on the meta device, split or not."""

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
    """Give a model memory and numbers. Returns the most bytes that whole tensors took meanwhile.

    Raises:
        WeightsError: the numbers cannot be had, or the weights do not fit; nothing has been changed.
    """
    if (seed is None) == (weights is None):
        raise WeightsError("what a model begins with is a seed or weights: give one of them")
    if weights is not None:
        plan_reads(model, weights, allocated=False)
    whole, recorder = _record_build(model, build)
    wanted = load_targets(model, all_buffers=True)
    names = _match_unsplit(model, whole, wanted)
    _allocate(model, _default_device(model, device))
    wanted = load_targets(model, all_buffers=True)
    kept = {name for target in load_targets(model) for name in target.names}
    if weights is not None:
        wanted = [target for target in wanted if target.names[0] not in kept]
    peak = _replay_into(wanted, names, recorder, seed)
    if weights is not None:
        load_into(model, weights)
    return peak


def _record_build(model: nn.Module, build: ModelFactory | None) -> tuple[nn.Module, InitRecorder]:
    if build is None:
        if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
            raise WeightsError(
                f"how {type(model).__name__} is made is not known: give build=..., which makes it unsplit"
            )
        build = _transformers_factory(model)
    with torch.random.fork_rng(devices=[]):
        try:
            return record_init(build)
        except InitRecordingError as bad:
            raise WeightsError(
                f"{type(model).__name__} cannot be initialised tensor by tensor: {bad}"
            ) from bad


def _transformers_factory(model: Any) -> ModelFactory:
    return lambda: unsharded_class(model)(copy.deepcopy(model.config))


def _match_unsplit(model: nn.Module, whole: nn.Module, wanted: list[LoadTarget]) -> dict[str, Tensor]:
    """The tensors of the unsplit model by name, where they are those of the model."""
    found = {name: tensor for target in load_targets(whole, all_buffers=True) for name in target.names
             for tensor in (target.tensor,)}  # fmt: skip
    faults = [
        f"'{name}.{own}' has no memory, and is neither a parameter nor a buffer"
        for name, module in model.named_modules()
        for own, held in vars(module).items()
        if isinstance(held, Tensor) and held.is_meta
    ]
    for target in wanted:
        for name in target.names:
            if name not in found:
                faults.append(f"'{name}' is not in the model that is built")
            elif found[name].shape != target.tensor.shape:
                faults.append(
                    f"'{name}' is built as {tuple(found[name].shape)}, not {tuple(target.tensor.shape)}"
                )
    if faults:
        raise WeightsError(f"{type(model).__name__} cannot be given numbers:", faults)
    return found


def _default_device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    split = next((p for p in model.parameters() if isinstance(p, DTensor)), None)
    return torch.device("cpu" if split is None else split.device_mesh.device_type)


def _allocate(model: nn.Module, device: torch.device) -> None:
    """Memory for the rank's shards. Tied tensors stay one."""
    tied = [target.names for target in load_targets(model, all_buffers=True) if len(target.names) > 1]
    model.to_empty(device=device)
    for first, *others in tied:
        tensor = _get_tensor(model, first)
        for name in others:
            owner, _, own = name.rpartition(".")
            module = model.get_submodule(owner)
            held: Any = own_parameters(module) if own in own_parameters(module) else own_buffers(module)
            held[own] = tensor


def _get_tensor(model: nn.Module, name: str) -> Tensor:
    owner, _, own = name.rpartition(".")
    found: Tensor = getattr(model.get_submodule(owner), own)
    return found


def _replay_into(
    wanted: list[LoadTarget], names: dict[str, Tensor], recorder: InitRecorder, seed: int | None
) -> int:
    """Numbers for tensors, each from the storage that the unsplit model has for it."""
    by_storage: dict[int, list[tuple[LoadTarget, StorageView]]] = {}
    for target in wanted:
        tensor = names[target.names[0]].detach()
        if tensor.is_meta:
            ref = recorder.view_of(tensor)
            by_storage.setdefault(ref.storage, []).append((target, ref))
        else:
            _copy_local_slices(target, tensor)

    def deliver(storage: int, view: Callable[[StorageView], Tensor]) -> None:
        for target, ref in by_storage[storage]:
            _copy_local_slices(target, view(ref))

    replay = InitReplay(recorder, by_storage, replay_rng=seed is not None)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed or 0)
        replay.run(deliver)
    return replay.peak


def _copy_local_slices(target: LoadTarget, whole: Tensor) -> None:
    with torch.no_grad():
        for box, into in target.local_slices():
            into.copy_(whole[tuple(slice(first, first + size) for first, size in box)])
