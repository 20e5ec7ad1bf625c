"""All that a proved plan says, for one model and one mesh."""

from __future__ import annotations

from graphlib import TopologicalSorter

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Unit
from planc.ir.lowered import Lowered, LoweredFsdp, LoweredRegion, LoweredUnit
from planc.ir.resolved import ResolvedBlock
from planc.lower.overlapped_gathers import WrappedModules
from planc.lower.tensor_axis import LoweringError, lower_tensor_axis
from planc.proof.prove import prove
from planc.proof.result import Proof
from planc.reference import load_reference


def lower_binding(binding: Binding, proof: Proof) -> Lowered:
    """What a proved plan tells every module. A block on axes of size 1 does nothing.

    Raises:
        planc.lower.tensor_axis.LoweringError: the plan is right, and cannot be applied.
    """
    lowered = Lowered()
    # Blocks that wrap modules come first: they bound what a tensor axis can overlap.
    for number, block in sorted(enumerate(binding.resolved.blocks), key=lambda each: each[1].splits_tensors):
        if block.row.lowering is None:
            raise LoweringError(f"planc cannot apply a '{block.kind}' block yet")
        lowered = load_reference(block.row.lowering)(binding, proof, number, lowered)
    return lowered


def lower_tensor(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the boundaries and parameters of a block whose ranks share dims of tensors."""
    block = binding.resolved.blocks[number]
    wrapped = WrappedModules(
        frozenset(name for region in lowered.recompute for name in region.modules),
        frozenset(name for region in lowered.compile for name in region.modules),
        frozenset(name for unit in (lowered.fsdp.units if lowered.fsdp else ()) for name in unit.modules),
    )
    axes = [axis for axis in proof.axes if axis.block.value is block]
    added = [lower_tensor_axis(binding, axis, number, wrapped) for axis in axes]
    return lowered.with_(tensor=(*lowered.tensor, *added))


def lower_fsdp(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the units of an FSDP block."""
    active = dict(binding.resolved.active_blocks_of(Unit))
    if number not in active or lowered.fsdp is not None:
        return lowered
    return lowered.with_(fsdp=_fsdp(binding, number, active[number]))


def lower_recompute(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the modules that are recomputed."""
    return lowered.with_(recompute=(*lowered.recompute, *_regions(binding, number)))


def lower_compile(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the modules that are compiled."""
    return lowered.with_(compile=(*lowered.compile, *_regions(binding, number)))


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
    sizes = binding.resolved.axis_sizes
    splits = any(sizes.get(b.axes[0].value) != 1 for _, b in binding.resolved.tensor_blocks())
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
