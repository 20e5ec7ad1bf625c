"""Tensor parallelism: every parameter becomes a DTensor, every told module gets its hooks."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import LoweredAxis, LoweredModule
from planc.torch.apply.modules import Told
from planc.torch.apply.parameters import as_dtensor
from planc.torch.apply.state import keep_order
from planc.torch.apply.uses import WHOLE, Uses, uses_of

_NOTHING = LoweredModule()


def apply_axis(model: nn.Module, axis: LoweredAxis, mesh: DeviceMesh) -> None:
    """Split a model over one axis of a mesh, in place."""
    modules = dict(model.named_modules(remove_duplicate=False))
    made: dict[int, nn.Parameter] = {}
    for name, module in modules.items():
        told = axis.modules.get(name, _NOTHING)
        for own, parameter in list(module._parameters.items()):
            if parameter is not None:
                part = told.parameters.get(own, WHOLE)
                keep_order(module, own, part, mesh)
                # Tied parameters stay one.
                if id(parameter) not in made:
                    split = as_dtensor(parameter, part, mesh)
                    made[id(parameter)] = made[id(split)] = split
                module._parameters[own] = made[id(parameter)]
    group = mesh.get_group()
    seen: set[int] = set()
    known: Uses = {}
    for name, module in modules.items():
        if id(module) in seen:
            continue
        seen.add(id(module))
        uses = uses_of(modules, name, axis.modules, group, known)
        if uses or name in axis.modules:
            Told(module, axis.modules.get(name, _NOTHING), group, uses)
