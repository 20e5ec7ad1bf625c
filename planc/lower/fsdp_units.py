"""The units of FSDP: which modules are gathered together, and in which order torch wraps them."""

from __future__ import annotations

from graphlib import TopologicalSorter

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Unit
from planc.ir.lowered import Lowered, LoweredFsdp, LoweredUnit
from planc.ir.resolved import ResolvedBlock
from planc.lower.lowering_error import LoweringError
from planc.proof.result import Proof

Reshard = bool | int | None


def lower_fsdp(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the units of an FSDP block: a `BlockKind.lowering`.

    Raises:
        LoweringError: a unit reshards in a way that torch does not have.
    """
    active = dict(binding.resolved.active_blocks_of(Unit))
    if number not in active or lowered.fsdp is not None:
        return lowered
    return lowered.with_(fsdp=_lower_block(binding, number, active[number]))


def _lower_block(binding: Binding, number: int, block: ResolvedBlock) -> LoweredFsdp:
    settings = {setting.value.name: setting.value.value for setting in block.settings}
    shard_axis, *replicate_axes = (axis.value for axis in block.axes)
    sizes = binding.resolved.axis_sizes
    splits_tensors = any(sizes.get(b.axes[0].value) != 1 for _, b in binding.resolved.tensor_blocks())
    units = tuple(
        unit.with_(reshard=_torch_reshard(unit.reshard, sizes.get(shard_axis), splits_tensors))
        for unit in _units_inside_out(binding, number)
    )
    return LoweredFsdp(shard_axis, replicate_axes[0] if replicate_axes else None, settings, units)


def _units_inside_out(binding: Binding, number: int) -> list[LoweredUnit]:
    """The units of a block, inner ones before those that contain them.

    A line with one pattern makes a unit of each module that matches; a line with several makes one unit
    of all of them.
    """
    modules: dict[object, list[str]] = {}
    reshard: dict[object, Reshard] = {}
    inner: dict[object, set[object]] = {}

    def walk(name: str, bound: BoundModule, outer: object) -> None:
        entry = binding.entry_for(bound, number)
        if entry is not None:
            unit: object = id(entry) if len(entry.value.patterns) > 1 else name
            modules.setdefault(unit, []).append(name)
            reshard[unit] = entry.value.reshard
            inner.setdefault(unit, set())
            if outer is not None:
                inner[outer].add(unit)
            outer = unit
        for child_name, child in bound.children.items():
            walk(f"{name}.{child_name}" if name else child_name, child, outer)

    walk("", binding.root, None)
    order = TopologicalSorter(inner).static_order()
    return [LoweredUnit(tuple(modules[unit]), reshard[unit]) for unit in order]


def _torch_reshard(ranks: Reshard, size: int | None, splits_tensors: bool) -> Reshard:
    """The argument `reshard_after_forward` of `fully_shard`: all ranks of the axis are True, one is False.

    Raises:
        LoweringError: some of the ranks, for parameters that a tensor axis shards too.
    """
    if ranks is None or isinstance(ranks, bool):
        return ranks
    if ranks in (1, size):
        return ranks == size
    if splits_tensors:
        raise LoweringError(
            f"reshard({ranks}): FSDP2 reshards to a part of its axis only without a tensor axis"
        )
    return ranks
