"""FSDP2: units of modules whose parameters are sharded and gathered together. Those without dims stay full."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard

from planc.ir.lowered import Lowered, LoweredFsdp, LoweredUnit
from planc.torch.apply.dtensor_params import local_param
from planc.torch.apply.reduce_dtype import reduce_dtype, torch_dtype, units_with_partial_grads, widen_grads
from planc.torch.apply.scalar_params import ScalarParams


def fsdp_unit_names(lowered: Lowered) -> frozenset[str]:
    """The modules that are units of FSDP2, by dotted name."""
    units = lowered.fsdp.units if lowered.fsdp is not None else ()
    return frozenset(name for unit in units for name in unit.modules)


def apply_fsdp(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:
    """Shard units over the axis of FSDP2, inner ones first; over two axes it is HSDP."""
    fsdp = lowered.fsdp
    if fsdp is None:
        return
    ranks, seen = mesh[fsdp.axis].size(), set()
    dtype, partial_units = reduce_dtype(fsdp), units_with_partial_grads(lowered)
    for unit, options in zip(fsdp.units, _unit_options(fsdp, mesh), strict=True):
        modules: Any = [m for m in map(model.get_submodule, unit.modules) if m not in seen]
        seen.update(modules)
        # FSDP2 reshards to a part of the axis only what is sharded along its first dim.
        if unit.reshard is None or isinstance(unit.reshard, bool):
            options["shard_placement_fn"] = partial(_shard_placement, ranks)
        if modules:
            scalars = ScalarParams(modules, options["mesh"], dtype)
            if scalars.params:
                options["ignored_params"] = scalars.params
            fully_shard(modules[0] if len(modules) == 1 else modules, **options)
            scalars.follow()
            if dtype is not None and not partial_units.isdisjoint(unit.modules):
                widen_grads(modules, dtype, fsdp.axis)


def is_inside(name: str, units: frozenset[str]) -> bool:
    """Whether a module lies inside of one of the units, and is not that unit itself."""
    parts = name.split(".") if name else []
    return any(".".join(parts[:count]) in units for count in range(len(parts)))


def _unit_options(fsdp: LoweredFsdp, mesh: DeviceMesh) -> list[dict[str, Any]]:
    """The arguments of `fully_shard` for each unit."""
    names = (fsdp.axis,) if fsdp.replicate is None else (fsdp.replicate, fsdp.axis)
    common: dict[str, Any] = {"mesh": mesh[names]}
    if fsdp.settings.get("offload") == "cpu":
        common["offload_policy"] = CPUOffloadPolicy(pin_memory=torch.accelerator.is_available())
    inner = MixedPrecisionPolicy(param_dtype=torch_dtype(fsdp, "params"), reduce_dtype=reduce_dtype(fsdp))
    # The output of an inner unit keeps the dtype of the parameters: so do the modules between units.
    outer = replace(inner, output_dtype=torch_dtype(fsdp, "output"))
    every = frozenset(name for unit in fsdp.units for name in unit.modules)

    def options(unit: LoweredUnit) -> dict[str, Any]:
        policy = inner if all(is_inside(name, every) for name in unit.modules) else outer
        reshard = {} if unit.reshard is None else {"reshard_after_forward": unit.reshard}
        return common | {"mp_policy": policy} | reshard

    return [options(unit) for unit in fsdp.units]


def _shard_placement(ranks: int, parameter: nn.Parameter) -> Shard | None:
    """The first dim that the ranks divide; None: FSDP2's default, the first dim with padding."""
    sizes = local_param(parameter).shape
    return next((Shard(dim) for dim, size in enumerate(sizes) if size and size % ranks == 0), None)
