"""The collectives of FSDP's units.

As torch's `fully_shard` has it, a unit gathers its parameters before its forward pass, and once more before its
backward pass if it has resharded them in between; it reduces their gradients after its backward pass. A unit
with `keep` does not reshard, nor does an outermost one of which the plan says nothing. Where a recomputed region
runs a unit once more, the gather of its backward pass only comes earlier: the backward pass reshards nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.forecast.collectives import Collective
from planc.forecast.mixed_precision import fsdp_dtypes
from planc.ir.blocks import Unit
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock
from planc.proof.param_types import ParamTypes
from planc.proof.result import Proof
from planc.proof.types import local_shape


class UnitParams(Record):
    """A unit, and the parameters that it gathers."""

    module: str
    """Its first module."""
    entry: Located
    """The line of the plan."""
    is_outermost: bool
    params: list[TensorInfo]
    """As each rank of the tensor axes holds them."""


def fsdp_collectives(binding: Binding, proof: Proof, number: int) -> Iterator[Collective]:
    """The collectives of a block's units, also those on the replicated axis of HSDP: a `BlockKind.forecast`."""
    active = dict(binding.resolved.active_blocks_of(Unit))
    if number in active:
        yield from _unit_collectives(binding, number, active[number])


def _unit_collectives(binding: Binding, number: int, block: ResolvedBlock) -> Iterator[Collective]:
    param_dtype, reduce_dtype = fsdp_dtypes(block)
    axis, *replicate_axes = (axis.value for axis in block.axes)
    ranks = binding.resolved.axis_sizes[axis]
    for unit in _units(binding, number):
        for scalar in [info for info in unit.params if not info.shape and info.grad]:
            average = (reduce_dtype or scalar.dtype, _bytes([scalar], reduce_dtype), "gradient of a scalar")
            for each in (axis, *replicate_axes):
                if binding.resolved.axis_sizes[each] != 1:
                    yield Collective(
                        "all_reduce", each, "backward", *average, unit.module or "root", 1, unit.entry
                    )
        unit = unit.with_(params=[info for info in unit.params if info.shape])
        if not unit.params:
            continue
        dtype = unit.params[0].dtype
        params = [_padded(info, ranks or 1) for info in unit.params]
        param_bytes = _bytes(params, param_dtype)
        gradient_bytes = _bytes([info for info in params if info.grad], reduce_dtype)
        end = (unit.module or "root", 1, unit.entry)
        if ranks != 1:  # one rank has all parameters
            gather = (param_dtype or dtype, param_bytes, "parameters of the unit", *end)
            yield Collective("all_gather", axis, "forward", *gather)
            if _reshards(unit):
                yield Collective("all_gather", axis, "backward", *gather)
        if not gradient_bytes:
            continue
        if ranks != 1:
            scatter = (reduce_dtype or dtype, gradient_bytes, "gradients of the unit", *end)
            yield Collective("reduce_scatter", axis, "backward", *scatter)
        for replicas in replicate_axes:
            shard_bytes = gradient_bytes // (ranks or 1)
            reduce = (reduce_dtype or dtype, shard_bytes, "sharded gradients of the unit", *end)
            yield Collective("all_reduce", replicas, "backward", *reduce)


def _reshards(unit: UnitParams) -> bool:
    """Whether a unit frees its gathered parameters between its passes. `reshard(1)`, to one rank, keeps them."""
    reshard = unit.entry.value.reshard
    if reshard is None:
        return not unit.is_outermost
    return reshard is True or (reshard is not False and reshard != 1)


def _units(binding: Binding, number: int) -> list[UnitParams]:
    """The units of a block that have parameters; a tied parameter belongs to the unit of its first name."""
    sizes = binding.resolved.axis_sizes
    tensor_axes = [
        ParamTypes(binding, other, size)
        for other, block in binding.resolved.tensor_blocks()
        if (size := sizes[block.axes[0].value] or 1) > 1
    ]
    tied = {name for tie in binding.graph.ties for name in tie[1:]}
    found: dict[object, UnitParams] = {}

    def walk(name: str, bound: BoundModule, unit: object) -> None:
        entry = binding.entry_for(bound, number)
        if entry is not None:
            is_outermost = unit is None
            # A line with several patterns is one unit; a line with one is a unit for each module.
            unit = id(entry) if len(entry.value.patterns) > 1 else name
            found.setdefault(unit, UnitParams(name, entry, is_outermost, []))
        for own_name, info in bound.module.parameters.items():
            if unit in found and (f"{name}.{own_name}" if name else own_name) not in tied:
                found[unit].params.append(_local_param(bound, own_name, info, tensor_axes))
        for child_name, child in bound.children.items():
            walk(f"{name}.{child_name}" if name else child_name, child, unit)

    walk("", binding.root, None)
    return [unit for unit in found.values() if unit.params]


def _local_param(
    bound: BoundModule, name: str, info: TensorInfo, tensor_axes: list[ParamTypes]
) -> TensorInfo:
    """A parameter as one rank of the tensor axes holds it."""
    shape = info.shape
    for axis in tensor_axes:
        shape = local_shape(shape, axis.types_of(bound)[name], axis.ranks)
    return TensorInfo(shape, info.dtype, info.grad)


def _padded(info: TensorInfo, ranks: int) -> TensorInfo:
    """A parameter as FSDP shards it: along a dim that the ranks divide, or along its first dim with padding."""
    if any(size and size % ranks == 0 for size in info.shape):
        return info
    return TensorInfo((-(-info.shape[0] // ranks) * ranks, *info.shape[1:]), info.dtype, info.grad)


def _bytes(infos: list[TensorInfo], dtype: str | None) -> int:
    return sum(TensorInfo(info.shape, dtype or info.dtype).bytes for info in infos)
