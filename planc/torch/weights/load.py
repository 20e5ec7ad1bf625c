"""Weights from a file or a folder for a model, split or not: each rank reads its own slices."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import nn

from planc.ir.errors import WeightsError
from planc.torch.weights.load_targets import LoadTarget, detached_local, load_targets
from planc.torch.weights.name_mapping import is_ignored, map_tensors
from planc.torch.weights.tensor_exprs import SliceRequest, TensorExpr
from planc.torch.weights.weight_sources import WeightSource, open_source


def load_into(model: nn.Module, path: str | os.PathLike[str]) -> int:
    """Load weights into a model. Every rank calls this, and none waits for another.

    Returns:
        The bytes that this rank has read.

    Raises:
        WeightsError: names or shapes do not match, all of which it lists; or there is nothing to read. Nothing
            has been changed.
    """
    source, requests = plan_reads(model, path)
    with torch.no_grad():
        return source.read_into(requests)


def plan_reads(
    model: nn.Module, path: str | os.PathLike[str], *, allocated: bool = True
) -> tuple[WeightSource, list[SliceRequest]]:
    """The slices that this rank reads. All names and shapes are checked before the first read.

    Args:
        allocated: whether tensors on the meta device are an error.

    Raises:
        WeightsError: as `load_into` does.
    """
    source = open_source(path)
    targets = load_targets(model)
    available, surplus = map_tensors(
        model, source.shapes, [name for target in targets for name in target.names]
    )
    chosen = {target.names[0]: _first_present(target, available) for target in targets}
    mismatches = _mismatches(model, targets, chosen, surplus, allocated)
    if mismatches:
        raise WeightsError(
            f"'{os.fspath(path)}' does not contain the weights of {type(model).__name__}:", mismatches
        )
    requests: list[SliceRequest] = []
    for target in targets:
        expr = chosen[target.names[0]]
        if expr is not None:
            for bounds, dest in target.local_slices():
                requests.extend(expr.slice_requests(bounds, dest))
    return source, requests


def _first_present(target: LoadTarget, available: Mapping[str, TensorExpr]) -> TensorExpr | None:
    """The tensor under the first name that the file has: a tied tensor has several names."""
    return next((available[name] for name in target.names if name in available), None)


def _mismatches(
    model: nn.Module,
    targets: list[LoadTarget],
    chosen: Mapping[str, TensorExpr | None],
    surplus: list[str],
    allocated: bool,
) -> list[str]:
    mismatches = []
    for target in targets:
        name, expr = target.names[0], chosen[target.names[0]]
        shape = tuple(target.tensor.shape)
        if expr is None:
            mismatches.append("there is no " + ", nor ".join(f"'{n}'" for n in target.names))
        elif expr.shape != shape:
            mismatches.append(f"'{name}' is {expr.shape} there, and {shape} in the model")
        elif allocated and detached_local(target.tensor).is_meta:
            mismatches.append(f"'{name}' is still on the meta device: call planc.materialize first")
    return mismatches + [f"the model has no '{name}'" for name in surplus if not is_ignored(model, name)]
