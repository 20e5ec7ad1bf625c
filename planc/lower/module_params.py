"""The parameters and attributes of each module on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planc.bind.binding import Binding, BoundModule
from planc.ir.lowered import LoweredParam
from planc.proof.param_types import ParamTypes
from planc.proof.result import Analysis, join_module_path
from planc.proof.types import DEFERRED_BIAS, PackedShard, sharded_dim


def params_with_summed_gradient(binding: Binding, calls: Iterable[tuple[str, Analysis]]) -> frozenset[str]:
    """The parameters whose gradients are all-reduced over the axis, under all names of tied ones."""
    found = {join_module_path(module, name) for module, call in calls for name in call.summed_gradients}
    ties = [tie for tie in binding.graph.ties if found.intersection(tie)]
    return frozenset(found.union(*ties))


def lowered_params(
    module: str, bound: BoundModule, types: ParamTypes, summed: frozenset[str]
) -> Mapping[str, LoweredParam]:
    """The parameters of a module that are not replicated, or whose gradients are all-reduced.

    Args:
        module: its name.
        summed: parameters whose gradients are all-reduced, by their names in the model.
    """
    found: dict[str, LoweredParam] = {}
    for name, type_ in types.types_of(bound).items():
        param = LoweredParam(
            sharded_dim(type_),
            type_.parts if isinstance(type_, PackedShard) else (),
            join_module_path(module, name) in summed,
            type_ is DEFERRED_BIAS,
        )
        if param != LoweredParam(None):
            found[name] = param
    return found


def lowered_buffers(bound: BoundModule, types: ParamTypes) -> Mapping[str, LoweredParam]:
    """The sharded buffers of a module."""
    found = {name: types.buffer_type(bound, name) for name in bound.module.buffers}
    return {
        name: LoweredParam(sharded_dim(type_), type_.parts if isinstance(type_, PackedShard) else ())
        for name, type_ in found.items()
        if sharded_dim(type_) is not None
    }


def local_attributes(bound: BoundModule, types: ParamTypes) -> Mapping[str, int]:
    """The numbers of a module that each rank's module has a share of."""
    numbers = bound.module.attributes
    local = {name: types.local_attribute(bound, name, number) for name, number in numbers.items()}
    return {name: int(local[name]) for name, number in numbers.items() if local[name] != number}
