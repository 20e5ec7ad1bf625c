"""All that a proved plan says, for one model and one mesh."""

from __future__ import annotations

from graphlib import TopologicalSorter

from planc.bind.binding import Binding, BoundModule
from planc.ir.lowered import Lowered, LoweredFsdp, LoweredRegion, LoweredUnit
from planc.ir.resolved import ResolvedBlock
from planc.lower.overlapped_gathers import WrappedModules
from planc.lower.tensor_axis import LoweringError, lower_tensor_axis
from planc.proof.prove import prove
from planc.proof.result import Proof


def lower_binding(binding: Binding, proof: Proof) -> Lowered:
    """What a proved plan tells every module. Axes of size 1 say nothing.

    Raises:
        planc.lower.tensor_axis.NotLowered: the plan is right, and cannot be applied.
    """
    blocks = binding.resolved.blocks
    sizes = {axis.name: axis.size for axis in binding.resolved.axes}
    fsdp = [
        _fsdp(binding, number, block)
        for number, block in enumerate(blocks)
        if block.kind == "fsdp" and any(sizes.get(axis.value) != 1 for axis in block.axes)
    ]
    recompute, compile_ = (
        tuple(region for n, b in enumerate(blocks) if b.kind == kind for region in _regions(binding, n))
        for kind in ("recompute", "compile")
    )
    regions = WrappedModules(
        frozenset(name for region in recompute for name in region.modules),
        frozenset(name for region in compile_ for name in region.modules),
        frozenset(name for each in fsdp for unit in each.units for name in unit.modules),
    )
    tensor = []
    for axis in proof.axes:
        if axis.kind == "tensor":
            number = next(b for b, block in enumerate(blocks) if block is axis.block.value)
            tensor.append(lower_tensor_axis(binding, axis, number, regions))
    return Lowered(tuple(tensor), recompute, compile_, fsdp[0] if fsdp else None)


def lower_unproved(binding: Binding, proof: Proof | None) -> Lowered:
    """What a plan tells every module where it is not proved: what stands in it, whether right or wrong.

    Raises:
        planc.lower.tensor_axis.NotLowered: nobody can tell a module that.
    """
    return lower_binding(binding, prove(binding) if proof is None else proof)


def _regions(binding: Binding, number: int) -> list[LoweredRegion]:
    """The modules of each line of a block, in the order of the model."""
    found: dict[int, list[str]] = {}
    for name, bound in binding.root.named_modules():
        entry = bound.entries.get(number)
        if entry is not None:
            found.setdefault(entry, []).append(name)
    block = binding.resolved.blocks[number]
    options = {s.value.name: s.value.value for s in block.settings}
    return [
        LoweredRegion(tuple(names), getattr(line, "mode", None), getattr(line, "save", ()), options)
        for e, names in sorted(found.items())
        for line in (block.entries[e].value,)
    ]


def _fsdp(binding: Binding, number: int, block: ResolvedBlock) -> LoweredFsdp:
    units: dict[object, list[str]] = {}
    reshard: dict[object, bool | int | None] = {}
    within: dict[object, set[object]] = {}

    def walk(name: str, bound: BoundModule, around: object) -> None:
        entry = binding.entry_for(bound, number)
        if entry is not None:
            # Several patterns of one line are one unit; one pattern makes a unit of each module.
            key: object = id(entry) if len(entry.value.patterns) > 1 else name
            units.setdefault(key, []).append(name)
            reshard[key] = entry.value.reshard
            within.setdefault(key, set())
            if around is not None:
                within[around].add(key)
            around = key
        for own, child in bound.children.items():
            walk(f"{name}.{own}" if name else own, child, around)

    walk("", binding.root, None)
    settings = {s.value.name: s.value.value for s in block.settings}
    axis, *replicate = (placed.value for placed in block.axes)
    sizes = {axis.name: axis.size for axis in binding.resolved.axes}
    splits = any(b.kind == "tensor" and sizes.get(b.axes[0].value) != 1 for b in binding.resolved.blocks)
    done = tuple(
        LoweredUnit(tuple(units[key]), _reshard(reshard[key], sizes.get(axis), splits))
        for key in TopologicalSorter(within).static_order()
    )
    return LoweredFsdp(axis, replicate[0] if replicate else None, settings, done)


def _reshard(ranks: bool | int | None, size: int | None, splits: bool) -> bool | int | None:
    """All of the axis is as `fully_shard` does it, and one rank is none. A part of it is not known to
    torch for parameters that a tensor axis splits too."""
    if ranks is None or isinstance(ranks, bool) or ranks in (1, size):
        return ranks if ranks is None or isinstance(ranks, bool) else ranks == size
    if splits:
        raise LoweringError(
            f"reshard({ranks}): FSDP2 reshards to a part of its axis only without a tensor axis"
        )
    return ranks
