"""What keeps a recomputed region from doing the same in its second run: memory that has changed in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import Binding
from planc.ir.blocks import Recompute
from planc.ir.record import Record
from planc.proof.regions.causes import MemoryChange, NotRepeatable
from planc.proof.regions.changing import may_change_memory
from planc.proof.regions.events import Event, ForwardEvents, Memory, RegionRun
from planc.proof.regions.restorable import can_restore
from planc.proof.regions.second_runs import second_run_violations, state_violations
from planc.proof.result import Origin, ProgramPoint, Violation

WRITES = ("overwrite", "write", "update")
READS = ("read", "update")


class RegionProof(Record):
    """What the proof found about the recomputed regions of a plan."""

    violations: tuple[Violation, ...] = ()
    restored_buffers: Mapping[str, tuple[str, ...]] = {}
    """The buffers, by their names in the model, that a region has to find as its first run did, and to leave as they
    were: by the module of the region."""


def prove_regions(binding: Binding, *, has_axes: bool) -> RegionProof:
    """Everything that lets the second run of a recomputed region differ from the first.

    The region runs a second time, in the backward pass, when the whole forward pass has run. So memory that it reads
    before it has overwritten it must not change from then on. Buffers may: they are put back for the second run.

    Args:
        binding: the plan and the model.
        has_axes: whether the proof of an axis reports state that changes.
    """
    blocks = [number for number, _ in binding.resolved.blocks_of(Recompute)]
    if not blocks:
        return RegionProof()
    found = second_run_violations(binding, blocks)
    found += () if has_axes else state_violations(binding, blocks)
    if not may_change_memory(binding, blocks):
        return RegionProof(tuple(found))
    forward = ForwardEvents(binding, blocks)
    forward.run()
    writes: dict[Memory, list[int]] = {}
    for number, event in enumerate(forward.events):
        if event.kind in WRITES:
            writes.setdefault(event.memory, []).append(number)
    restored: dict[str, set[Memory]] = {}
    for run in forward.runs:
        for memory, number, change in _changes(forward.events, run, writes):
            if can_restore(binding, run, memory):
                restored.setdefault(run.module, set()).add(memory)
            else:
                found.append(_violation(run, forward.events[number], change, binding))
        for _, number in forward.kept.changed(run.start, run.stop, run.entry.value.save, writes):
            found.append(_violation(run, forward.events[number], "kept", binding))
    names = {module: tuple(sorted(map(str, memory))) for module, memory in restored.items()}
    return RegionProof(tuple(found), names)


def _changes(
    events: list[Event], run: RegionRun, writes: Mapping[Memory, list[int]]
) -> Iterator[tuple[Memory, int, MemoryChange]]:
    """The memory that changes between the two runs of a region, each with the first event that changes it."""
    read = _first_reads(events, run)
    for memory, number in read.items():
        first = next((n for n in writes.get(memory, ()) if n >= number), None)
        if first is not None:
            yield memory, first, "own" if first < run.stop else "later"
    for memory, numbers in writes.items():
        if memory in read or _is_own(memory, run) or not any(run.start <= n < run.stop for n in numbers):
            continue
        later = next((n for n in numbers if n >= run.stop), None)
        if later is not None:
            yield memory, later, "order"


def _first_reads(events: list[Event], run: RegionRun) -> dict[Memory, int]:
    """The first read of each piece of memory whose content a region takes over from outside."""
    read: dict[Memory, int] = dict.fromkeys(run.saved, run.start)
    overwritten: set[Memory] = set()
    for number in range(run.start, run.stop):
        event = events[number]
        memory = event.memory
        if _is_own(memory, run) or memory in overwritten:
            continue
        if event.kind in READS:
            read.setdefault(memory, number)
        elif event.kind == "overwrite":
            overwritten.add(memory)
    return read


def _is_own(memory: Memory, run: RegionRun) -> bool:
    return isinstance(memory, int) and memory >= run.first_own


def _violation(run: RegionRun, event: Event, change: MemoryChange, binding: Binding) -> Violation:
    cause = NotRepeatable(_describe(event.memory, run, binding), change)
    point = ProgramPoint("operation", event.operation)
    return Violation(cause, point, None, origin=Origin("", run.entry), module=event.module)


def _describe(memory: Memory, run: RegionRun, binding: Binding) -> str:
    """Memory in words."""
    if isinstance(memory, int):
        name = run.arguments.get(memory)
        return "a tensor from outside" if name is None else f"its argument {name}"
    module, _, own = memory.rpartition(".")
    owner = binding.root.find_submodule(module)
    return f"the {'buffer' if owner is not None and own in owner.module.buffers else 'parameter'} {own}"
