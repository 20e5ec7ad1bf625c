"""FSDP2: units of modules, sharded and gathered together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard

from planc.ir.lowered import Lowered, LoweredFsdp
from planc.torch.apply.param_shards import local_param

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def fsdp_unit_names(lowered: Lowered) -> frozenset[str]:
    """The modules that are units of FSDP."""
    return (
        frozenset(name for unit in lowered.fsdp.units for name in unit.modules)
        if lowered.fsdp
        else frozenset()
    )


def apply_fsdp(model: nn.Module, fsdp: LoweredFsdp, mesh: DeviceMesh) -> None:
    """Shard units over the axis, inner ones first; over two axes it is HSDP."""
    names = (fsdp.axis,) if fsdp.replicate is None else (fsdp.replicate, fsdp.axis)
    policy = MixedPrecisionPolicy(
        param_dtype=_torch_dtype(fsdp, "params"), reduce_dtype=_torch_dtype(fsdp, "reduce")
    )
    # Modules between units are in the dtype of the parameters: what an inner unit gives stays in it.
    outer = replace(policy, output_dtype=_torch_dtype(fsdp, "output"))
    every = frozenset(name for unit in fsdp.units for name in unit.modules)
    said: dict[str, Any] = {"mesh": mesh[names]}
    if fsdp.settings.get("offload") == "cpu":
        said["offload_policy"] = CPUOffloadPolicy(pin_memory=torch.accelerator.is_available())
    ranks, seen = mesh[fsdp.axis].size(), set()
    for unit in fsdp.units:
        modules: Any = [m for m in map(model.get_submodule, unit.modules) if m not in seen]
        seen.update(modules)
        how = said | {"mp_policy": policy if all(is_inside(n, every) for n in unit.modules) else outer}
        if unit.reshard is not None:
            how["reshard_after_forward"] = unit.reshard
        # What is resharded to a part of the axis has to be cut along its first dim.
        if unit.reshard is None or isinstance(unit.reshard, bool):
            how["shard_placement_fn"] = partial(_shard_placement, ranks)
        if modules:
            fully_shard(modules[0] if len(modules) == 1 else modules, **how)


def is_inside(name: str, units: frozenset[str]) -> bool:
    """Whether a module lies in another of the units."""
    parts = name.split(".") if name else []
    return any(".".join(parts[:count]) in units for count in range(len(parts)))


def _shard_placement(ranks: int, parameter: nn.Parameter) -> Shard | None:
    """The first dim that FSDP can divide; None: the first, padded."""
    sizes = local_param(parameter).shape
    return next((Shard(dim) for dim, size in enumerate(sizes) if size and size % ranks == 0), None)


def _torch_dtype(fsdp: LoweredFsdp, name: str) -> torch.dtype | None:
    return _DTYPES.get(str(fsdp.settings.get(name)))
