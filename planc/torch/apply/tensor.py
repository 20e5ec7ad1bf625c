"""Tensor parallelism: every parameter becomes a DTensor, every told module gets its hooks."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import LoweredAxis, LoweredModule
from planc.torch.apply.beside import Layer
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
    done: dict[str, Told] = {}
    for name, module in modules.items():
        if id(module) in seen:
            continue
        seen.add(id(module))
        uses = uses_of(modules, name, axis.modules, group, known)
        if uses or name in axis.modules:
            done[name] = Told(module, axis.modules.get(name, _NOTHING), group, uses)
    for name, rows in axis.beside.items():
        for row in rows if name in done else ():
            layers = [_layer(modules[".".join(filter(None, (name, own)))], known) for own in row.layers]
            done[name].run_beside(modules[name], row.place, layers)


def _layer(layer: nn.Module, known: Uses) -> Layer:
    """A linear layer whose product may be there before it is called."""
    made = Layer(layer, known[id(layer), "weight"], known.get((id(layer), "bias")))
    layer.forward = made.run
    return made
