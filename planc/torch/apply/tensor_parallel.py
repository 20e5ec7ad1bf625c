"""Tensor parallelism: every parameter becomes a DTensor, every told module gets its hooks."""

from __future__ import annotations

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import LoweredAxis, LoweredModule
from planc.torch.apply.module_hooks import ModuleHooks
from planc.torch.apply.overlap import OverlappedLinear
from planc.torch.apply.packed_params import register_packed_param
from planc.torch.apply.param_shards import distribute_param
from planc.torch.apply.param_swap import UNSPLIT, ParamSwaps, swaps_of_module
from planc.torch.compat import own_parameters

_UNCHANGED = LoweredModule()


def apply_tensor_parallel(model: nn.Module, axis: LoweredAxis, mesh: DeviceMesh) -> None:
    """Split a model over one axis of a mesh, in place."""
    modules = dict(model.named_modules(remove_duplicate=False))
    made: dict[int, nn.Parameter] = {}
    for name, module in modules.items():
        told = axis.modules.get(name, _UNCHANGED)
        for own, parameter in list(own_parameters(module).items()):
            if parameter is not None:
                part = told.parameters.get(own, UNSPLIT)
                register_packed_param(module, own, part, mesh)
                # Tied parameters stay one.
                if id(parameter) not in made:
                    split = distribute_param(parameter, part, mesh)
                    made[id(parameter)] = made[id(split)] = split
                own_parameters(module)[own] = made[id(parameter)]
    group = mesh.get_group()
    seen: set[int] = set()
    known: ParamSwaps = {}
    done: dict[str, ModuleHooks] = {}
    for name, module in modules.items():
        if id(module) in seen:
            continue
        seen.add(id(module))
        uses = swaps_of_module(modules, name, axis.modules, group, known)
        if uses or name in axis.modules:
            done[name] = ModuleHooks(module, axis.modules.get(name, _UNCHANGED), group, uses)
    for name, rows in axis.overlapped_gathers.items():
        for row in rows if name in done else ():
            layers = [
                _overlapped_linear(modules[".".join(filter(None, (name, own)))], known) for own in row.layers
            ]
            done[name].add_overlap(modules[name], row.path, layers)


def _overlapped_linear(layer: nn.Module, known: ParamSwaps) -> OverlappedLinear:
    """A linear layer whose product may be there before it is called."""
    made = OverlappedLinear(layer, known[id(layer), "weight"], known.get((id(layer), "bias")))
    layer.forward = made.run
    return made
