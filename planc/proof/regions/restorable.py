"""Which memory is put back before the second run of a region: that of buffers."""

from __future__ import annotations

from planc.bind.binding import Binding
from planc.ir.blocks import Compile
from planc.proof.regions.events import Memory, RegionRun


def can_restore(binding: Binding, run: RegionRun, memory: Memory) -> bool:
    """Whether memory can be put back exactly: it is a buffer, and the region is recomputed in full by Python code.

    A compiler that sees a region runs it again by itself, and a region that saves results of operations may save one that
    a buffer goes into.
    """
    if isinstance(memory, int) or run.entry.value.save:
        return False
    module, _, own = memory.rpartition(".")
    owner = binding.root.find_submodule(module)
    if owner is None or own not in owner.module.buffers:
        return False
    return not _meets_compiled_module(binding, run.module)


def _meets_compiled_module(binding: Binding, region: str) -> bool:
    """Whether a region is compiled, lies in a compiled module, or contains one."""
    blocks = [number for number, _ in binding.resolved.blocks_of(Compile)]
    if not blocks:
        return False
    for name, bound in binding.root.named_modules():
        is_around = not name or f"{region}.".startswith(f"{name}.")
        is_inside = not region or f"{name}.".startswith(f"{region}.")
        if (is_around or is_inside) and any(block in bound.entries for block in blocks):
            return True
    return False
