"""Memory and numbers for a model on the meta device, split or not."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from planc.ir.weights import WeightsError
from planc.torch.weights.load import load, planned
from planc.torch.weights.names import original_class
from planc.torch.weights.recorder import NotRecordedError, Recorder, Ref, recorded
from planc.torch.weights.replay import Replay
from planc.torch.weights.targets import Target, targets

Build = Callable[[], nn.Module]


def materialize(
    model: nn.Module,
    device: torch.device | str | None,
    seed: int | None,
    weights: str | os.PathLike[str] | None,
    build: Build | None,
) -> int:
    """Give a model memory and numbers. Returns the most bytes that whole tensors took meanwhile.

    Raises:
        WeightsError: the numbers cannot be had, or the weights do not fit; nothing has been changed.
    """
    if (seed is None) == (weights is None):
        raise WeightsError("what a model begins with is a seed or weights: give one of them")
    if weights is not None:
        planned(model, weights, allocated=False)
    whole, recorder = _recorded(model, build)
    wanted = targets(model, everything=True)
    names = _same_names(model, whole, wanted)
    _allocate(model, _device(model, device))
    wanted = targets(model, everything=True)
    kept = {name for target in targets(model) for name in target.names}
    if weights is not None:
        wanted = [target for target in wanted if target.names[0] not in kept]
    peak = _fill(wanted, names, recorder, seed)
    if weights is not None:
        load(model, weights)
    return peak


def _recorded(model: nn.Module, build: Build | None) -> tuple[nn.Module, Recorder]:
    if build is None:
        if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
            raise WeightsError(
                f"how {type(model).__name__} is made is not known: give build=..., which makes it unsplit"
            )
        build = _of_transformers(model)
    with torch.random.fork_rng(devices=[]):
        try:
            return recorded(build)
        except NotRecordedError as bad:
            raise WeightsError(
                f"{type(model).__name__} cannot be initialised tensor by tensor: {bad}"
            ) from bad


def _of_transformers(model: Any) -> Build:
    return lambda: original_class(model)(copy.deepcopy(model.config))


def _same_names(model: nn.Module, whole: nn.Module, wanted: list[Target]) -> dict[str, Tensor]:
    """The tensors of the unsplit model by name, where they are those of the model."""
    found = {name: tensor for target in targets(whole, everything=True) for name in target.names
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


def _device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    split = next((p for p in model.parameters() if isinstance(p, DTensor)), None)
    return torch.device("cpu" if split is None else split.device_mesh.device_type)


def _allocate(model: nn.Module, device: torch.device) -> None:
    """Memory for the rank's shards. Tied tensors stay one."""
    tied = [target.names for target in targets(model, everything=True) if len(target.names) > 1]
    model.to_empty(device=device)
    for first, *others in tied:
        tensor = _of(model, first)
        for name in others:
            owner, _, own = name.rpartition(".")
            module = model.get_submodule(owner)
            held: Any = module._parameters if own in module._parameters else module._buffers
            held[own] = tensor


def _of(model: nn.Module, name: str) -> Tensor:
    owner, _, own = name.rpartition(".")
    found: Tensor = getattr(model.get_submodule(owner), own)
    return found


def _fill(wanted: list[Target], names: dict[str, Tensor], recorder: Recorder, seed: int | None) -> int:
    """Numbers for tensors, each from the storage that the unsplit model has for it."""
    by_storage: dict[int, list[tuple[Target, Ref]]] = {}
    for target in wanted:
        tensor = names[target.names[0]].detach()
        if tensor.is_meta:
            ref = recorder.ref(tensor)
            by_storage.setdefault(ref.storage, []).append((target, ref))
        else:
            _put(target, tensor)

    def deliver(storage: int, view: Callable[[Ref], Tensor]) -> None:
        for target, ref in by_storage[storage]:
            _put(target, view(ref))

    replay = Replay(recorder, by_storage, draws=seed is not None)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed or 0)
        replay.run(deliver)
    return replay.peak


def _put(target: Target, whole: Tensor) -> None:
    with torch.no_grad():
        for box, into in target.pieces():
            into.copy_(whole[tuple(slice(first, first + size) for first, size in box)])
