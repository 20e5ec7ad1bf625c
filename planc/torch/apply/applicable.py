"""Reasons why a proved plan cannot be applied to a model, before anything of the model is changed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from planc.ir.lowered import Lowered
from planc.torch.apply.fsdp import fsdp_unit_names, is_inside


def already_split(model: nn.Module) -> str | None:
    """The reason not to split a model a second time; None: it is not split yet."""
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return "the model is split already: some of its parameters are DTensors"
    return None


def inapplicable_reason(lowered: Lowered, axis_names: Sequence[str]) -> str | None:
    """The first reason why torch cannot do what a plan asks for on a mesh; None: it can.

    Args:
        axis_names: the axes of the mesh, outermost first.
    """
    return (
        _mesh_order_error(lowered, axis_names)
        or _selective_recompute_error(lowered)
        or _compile_backend_error(lowered)
    )


def _mesh_order_error(lowered: Lowered, axis_names: Sequence[str]) -> str | None:
    """FSDP2 needs replicas outside of shards, and shards outside of tensor axes: with another order, sums
    over the mesh fail later."""
    fsdp = lowered.fsdp
    if fsdp is None:
        return None
    outer = [name for name in (fsdp.replicate, fsdp.axis) if name is not None]
    tensor_axes = [axis.axis for axis in lowered.tensor]
    needed = [*outer, *(name for name in axis_names if name in tensor_axes)]
    if [name for name in axis_names if name in needed] == needed:
        return None
    return (
        f"the axes of the mesh are {', '.join(axis_names)}; FSDP2 needs them in the order {', '.join(needed)}"
    )


def _selective_recompute_error(lowered: Lowered) -> str | None:
    """Torch's selective checkpoint does not replay what FSDP2 does at the units inside of a region."""
    units = fsdp_unit_names(lowered)
    for region in lowered.recompute:
        if region.mode == "save":
            regions = frozenset(region.modules)
            inner = next((name for name in units if name not in regions and is_inside(name, regions)), None)
            if inner is not None:
                return f"recompute with save(...) around '{inner}', which is a unit of FSDP: torch cannot do that"
    return None


def _compile_backend_error(lowered: Lowered) -> str | None:
    known = torch.compiler.list_backends(())
    for region in lowered.compile:
        name = region.options.get("backend")
        if name is not None and name not in known:
            return f"compile with backend '{name}': this torch has {', '.join(sorted(known))}"
    return None
