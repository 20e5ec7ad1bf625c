"""Weights from a file or a folder, into a model that may be split: each rank reads its own slices."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import nn

from planc.ir.errors import WeightsError
from planc.torch.weights.load_targets import LoadTarget, load_targets, local_tensor
from planc.torch.weights.name_mapping import is_ignored, map_tensors
from planc.torch.weights.tensor_exprs import SliceRequest, TensorExpr
from planc.torch.weights.weight_sources import WeightSource, open_source


def load_into(model: nn.Module, path: str | os.PathLike[str]) -> int:
    """Load weights. Every rank calls this, and none waits for another.

    Returns:
        The bytes that this rank has read.

    Raises:
        WeightsError: a name is missing or surplus, or a shape is wrong: all of them, and nothing has
            been changed; or there is nothing to read.
    """
    source, requests = plan_reads(model, path)
    with torch.no_grad():
        return source.read_into(requests)


def plan_reads(
    model: nn.Module, path: str | os.PathLike[str], *, allocated: bool = True
) -> tuple[WeightSource, list[SliceRequest]]:
    """What this rank reads, once all names and shapes are right.

    Raises:
        WeightsError: they are not.
    """
    source = open_source(path)
    wanted = load_targets(model)
    found, surplus = map_tensors(model, source.shapes, [name for target in wanted for name in target.names])
    chosen = {target.names[0]: _first_present(target, found) for target in wanted}
    faults = _mismatches(model, wanted, chosen, surplus, allocated)
    if faults:
        raise WeightsError(
            f"'{os.fspath(path)}' does not hold the weights of {type(model).__name__}:", faults
        )
    requests: list[SliceRequest] = []
    for target in wanted:
        tree = chosen[target.names[0]]
        if tree is not None:
            for box, into in target.local_slices():
                requests.extend(tree.slice_requests(box, into))
    return source, requests


def _first_present(target: LoadTarget, available: Mapping[str, TensorExpr]) -> TensorExpr | None:
    """A tied tensor may be in the file under one of its names, or under several."""
    return next((available[name] for name in target.names if name in available), None)


def _mismatches(
    model: nn.Module,
    targets: list[LoadTarget],
    chosen: Mapping[str, TensorExpr | None],
    surplus: list[str],
    allocated: bool,
) -> list[str]:
    faults = []
    for target in targets:
        name, tree = target.names[0], chosen[target.names[0]]
        shape = tuple(target.tensor.shape)
        if tree is None:
            faults.append("there is no " + ", nor ".join(f"'{n}'" for n in target.names))
        elif tree.shape != shape:
            faults.append(f"'{name}' is {tree.shape} there, and {shape} in the model")
        elif allocated and local_tensor(target.tensor).is_meta:
            faults.append(f"'{name}' has no memory yet: planc.materialize gives it some")
    return faults + [f"the model has no '{name}'" for name in surplus if not is_ignored(model, name)]
