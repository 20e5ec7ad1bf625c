"""Weights from a file or a folder, into a model that may be split: each rank reads its own slices."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import nn

from planc.ir.weights import WeightsError
from planc.torch.weights.names import ignored, trees
from planc.torch.weights.sources import Source, opened
from planc.torch.weights.targets import Target, local, targets
from planc.torch.weights.trees import Request, Tree


def load(model: nn.Module, path: str | os.PathLike[str]) -> int:
    """Load weights. Every rank calls this, and none waits for another.

    Returns:
        The bytes that this rank has read.

    Raises:
        WeightsError: a name is missing or surplus, or a shape is wrong: all of them, and nothing has
            been changed; or there is nothing to read.
    """
    source, requests = planned(model, path)
    with torch.no_grad():
        return source.fill(requests)


def planned(
    model: nn.Module, path: str | os.PathLike[str], *, allocated: bool = True
) -> tuple[Source, list[Request]]:
    """What this rank reads, once all names and shapes are right.

    Raises:
        WeightsError: they are not.
    """
    source = opened(path)
    wanted = targets(model)
    found, surplus = trees(model, source.shapes, [name for target in wanted for name in target.names])
    chosen = {target.names[0]: _chosen(target, found) for target in wanted}
    faults = _faults(model, wanted, chosen, surplus, allocated)
    if faults:
        raise WeightsError(
            f"'{os.fspath(path)}' does not hold the weights of {type(model).__name__}:", faults
        )
    requests: list[Request] = []
    for target in wanted:
        tree = chosen[target.names[0]]
        if tree is not None:
            for box, into in target.pieces():
                requests.extend(tree.requests(box, into))
    return source, requests


def _chosen(target: Target, found: Mapping[str, Tree]) -> Tree | None:
    """A tied tensor may be in the file under one of its names, or under several."""
    return next((found[name] for name in target.names if name in found), None)


def _faults(
    model: nn.Module,
    wanted: list[Target],
    chosen: Mapping[str, Tree | None],
    surplus: list[str],
    allocated: bool,
) -> list[str]:
    faults = []
    for target in wanted:
        name, tree = target.names[0], chosen[target.names[0]]
        shape = tuple(target.tensor.shape)
        if tree is None:
            faults.append("there is no " + ", nor ".join(f"'{n}'" for n in target.names))
        elif tree.shape != shape:
            faults.append(f"'{name}' is {tree.shape} there, and {shape} in the model")
        elif allocated and local(target.tensor).is_meta:
            faults.append(f"'{name}' has no memory yet: planc.materialize gives it some")
    return faults + [f"the model has no '{name}'" for name in surplus if not ignored(model, name)]
