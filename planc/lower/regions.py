"""Modules that are recomputed in the backward pass, or compiled."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.ir.lowered import Lowered, LoweredRegion
from planc.proof.result import Proof


def lower_recompute(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the modules that are recomputed: a `BlockKind.lowering`."""
    regions = [
        region.with_(restored_buffers=_restored_buffers(region, binding, proof))
        for region in _regions(binding, number)
    ]
    return lowered.with_(recompute=(*lowered.recompute, *regions))


def lower_compile(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the modules that are compiled: a `BlockKind.lowering`."""
    return lowered.with_(compile=(*lowered.compile, *_regions(binding, number)))


def _restored_buffers(region: LoweredRegion, binding: Binding, proof: Proof) -> dict[str, tuple[str, ...]]:
    """The buffers that are put back for the modules of a region, under all of their names."""
    ties = {tie[0]: tie for tie in binding.graph.buffer_ties}
    return {
        module: tuple([each for name in proof.restored_buffers[module] for each in ties.get(name, (name,))])
        for module in region.modules
        if module in proof.restored_buffers
    }


def _regions(binding: Binding, number: int) -> list[LoweredRegion]:
    """The modules of each line of a block, in the order of the model."""
    modules: dict[int, list[str]] = {}
    for name, bound in binding.root.named_modules():
        entry = bound.entries.get(number)
        if entry is not None:
            modules.setdefault(entry, []).append(name)
    block = binding.resolved.blocks[number]
    options = {setting.value.name: setting.value.value for setting in block.settings}
    lines = ((block.entries[entry].value, names) for entry, names in sorted(modules.items()))
    return [
        LoweredRegion(tuple(names), getattr(line, "mode", None), getattr(line, "save", ()), options)
        for line, names in lines
    ]
