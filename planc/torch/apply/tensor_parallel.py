"""Tensor parallelism: every parameter becomes a DTensor, every module with instructions gets its steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import Lowered, LoweredAxis, LoweredModule, TensorPath
from planc.torch.apply.boundary import boundary_steps
from planc.torch.apply.call_guard import UncapturedCall
from planc.torch.apply.checkpointed_functions import follow_checkpoints
from planc.torch.apply.dtensor_params import distribute_param, local_param
from planc.torch.apply.local_attributes import LocalRowAttributes, set_local_attributes
from planc.torch.apply.local_buffers import BufferSwap
from planc.torch.apply.module_runtime import ModuleRuntime
from planc.torch.apply.overlap import OverlappedLinear
from planc.torch.apply.packed_params import register_packed_param
from planc.torch.apply.param_swap import (
    UNSPLIT,
    AnySwap,
    LocalForward,
    LocalHooks,
    ParamSwaps,
)
from planc.torch.apply.reduce_dtype import reduce_dtype
from planc.torch.apply.rng import RngPass, RngScope
from planc.torch.compat import has_forward_hooks, own_parameters

_UNCHANGED = LoweredModule()


def apply_tensor_axes(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:
    """Split a model over every tensor axis of a mesh, in place."""
    if lowered.tensor:
        follow_checkpoints()
    for axis in lowered.tensor:
        _apply_axis(model, axis, mesh[axis.axis], reduce_dtype(lowered.fsdp))


def _apply_axis(model: nn.Module, axis: LoweredAxis, mesh: DeviceMesh, sum_dtype: torch.dtype | None) -> None:
    modules = dict(model.named_modules(remove_duplicate=False))
    _distribute_params(modules, axis, mesh)
    _refuse_uncalled(modules, axis)
    group = mesh.get_group()
    swaps = ParamSwaps(modules, axis.modules, group, sum_dtype)
    first_names: dict[int, str] = {}
    for name, module in modules.items():
        first_names.setdefault(id(module), name)
    used = {name: swaps.of_code(name) for name in first_names.values()}
    local: dict[str, list[AnySwap]] = {
        name: [
            *params,
            *swaps.with_global_size(name),
            *_buffer_swaps(modules[name], axis.modules.get(name), group),
        ]
        for name, params in used.items()
    }
    for name, found in local.items():
        _localize_rows(modules[name], axis.modules.get(name, _UNCHANGED).row_attributes, group)
        if found:
            ModuleRuntime.of(modules[name]).add_forward_step(modules[name], LocalForward(found))
    counted: list[RngScope] = []
    for name, params in used.items():
        if local[name] or name in axis.modules:
            lowered = axis.modules.get(name, _UNCHANGED)
            set_local_attributes(modules[name], lowered.attributes)
            overlapped = _overlapped_linears(modules, name, axis, swaps)
            steps = boundary_steps(modules[name], lowered, group, params, overlapped)
            if local[name] and has_forward_hooks(modules[name]):
                steps.append(LocalHooks(local[name]))
            ModuleRuntime.of(modules[name]).add_hook_steps(modules[name], steps)
            counted += [step for step in steps if isinstance(step, RngScope) and step.is_counted]
    if counted:
        ModuleRuntime.of(model).add_hook_steps(model, [RngPass(counted)])


def _buffer_swaps(module: nn.Module, lowered: LoweredModule | None, group: ProcessGroup) -> list[BufferSwap]:
    """What puts slices in the place of a module's sharded buffers, if it has any."""
    return [] if lowered is None or not lowered.buffers else [BufferSwap(module, lowered.buffers, group)]


def _localize_rows(module: nn.Module, names: tuple[str, ...], group: ProcessGroup) -> None:
    """The innermost step of a lookup whose table is sharded by rows."""
    if any(getattr(module, name, None) is not None for name in names):
        rows = local_param(own_parameters(module)["weight"]).shape[0]  # type: ignore[arg-type]
        step = LocalRowAttributes(module, names, rows * group.rank(), rows)
        ModuleRuntime.of(module).add_forward_step(module, step)


def _refuse_uncalled(modules: Mapping[str, nn.Module], axis: LoweredAxis) -> None:
    # A module with several names is called by one of them.
    called = {id(module) for name, module in modules.items() if name not in axis.uncalled}
    for name, has_rule in axis.uncalled.items():
        if name in modules and id(modules[name]) not in called:
            called.add(id(modules[name]))
            ModuleRuntime.of(modules[name]).add_hook_steps(modules[name], [UncapturedCall(name, has_rule)])


def _distribute_params(modules: Mapping[str, nn.Module], axis: LoweredAxis, mesh: DeviceMesh) -> None:
    distributed: dict[int, nn.Parameter] = {}
    for name, module in modules.items():
        lowered = axis.modules.get(name, _UNCHANGED)
        for own, parameter in list(own_parameters(module).items()):
            if parameter is not None:
                layout = lowered.parameters.get(own, UNSPLIT)
                register_packed_param(module, own, layout, mesh)
                # Tied parameters stay one.
                if id(parameter) not in distributed:
                    split = distribute_param(parameter, layout, mesh)
                    distributed[id(parameter)] = distributed[id(split)] = split
                own_parameters(module)[own] = distributed[id(parameter)]


def _overlapped_linears(
    modules: Mapping[str, nn.Module], name: str, axis: LoweredAxis, swaps: ParamSwaps
) -> dict[TensorPath, list[OverlappedLinear]]:
    """The linear layers whose products are computed during the gathers of a module's inputs."""
    return {
        gather.path: [
            _overlapped_linear(modules[".".join(filter(None, (name, own)))], swaps) for own in gather.layers
        ]
        for gather in axis.overlapped_gathers.get(name, ())
    }


def _overlapped_linear(layer: nn.Module, swaps: ParamSwaps) -> OverlappedLinear:
    weight = swaps.of_param(layer, "weight")
    assert weight is not None
    step = OverlappedLinear(layer, weight, swaps.of_param(layer, "bias"))
    ModuleRuntime.of(layer).add_forward_step(layer, step)
    return step
