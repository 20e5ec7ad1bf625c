"""What keeps a recomputed region from doing the same in its second run: memory that has changed in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import Binding
from planc.ir.blocks import Recompute
from planc.proof.regions.causes import MemoryChange, NotRepeatable
from planc.proof.regions.changing import may_change_memory
from planc.proof.regions.events import Event, ForwardEvents, Memory, RegionRun
from planc.proof.regions.second_runs import second_run_violations, state_violations
from planc.proof.result import Origin, ProgramPoint, Violation

WRITES = ("overwrite", "write", "update", "project")
READS = ("read", "update", "project")


def region_violations(binding: Binding, *, has_axes: bool) -> tuple[Violation, ...]:
    """Everything that lets the second run of a recomputed region differ from the first.

    The region runs a second time, in the backward pass, when the whole forward pass has run. So memory that it reads
    before it has overwritten it must not change from then on.

    Args:
        binding: the plan and the model.
        has_axes: whether the proof of an axis reports state that changes.
    """
    blocks = [number for number, _ in binding.resolved.blocks_of(Recompute)]
    if not blocks:
        return ()
    found = second_run_violations(binding, blocks)
    found += () if has_axes else state_violations(binding, blocks)
    if not may_change_memory(binding, blocks):
        return tuple(found)
    forward = ForwardEvents(binding, blocks)
    forward.run()
    writes: dict[Memory, list[int]] = {}
    for number, event in enumerate(forward.events):
        if event.kind in WRITES:
            writes.setdefault(event.memory, []).append(number)
    for run in forward.runs:
        found += _changes(forward.events, run, writes, binding)
    return tuple(found)


def _changes(
    events: list[Event], run: RegionRun, writes: Mapping[Memory, list[int]], binding: Binding
) -> Iterator[Violation]:
    """The memory that changes between the two runs of a region, each with the first operation that changes it."""
    read = _first_reads(events, run)
    for memory, number in read.items():
        first = next((n for n in writes.get(memory, ()) if n >= number), None)
        if first is not None:
            change: MemoryChange = "own" if first < run.stop else "later"
            yield _violation(run, events[first], change, binding)
    for memory, numbers in writes.items():
        if memory in read or _is_own(memory, run) or not any(run.start <= n < run.stop for n in numbers):
            continue
        later = next((n for n in numbers if n >= run.stop), None)
        if later is not None:
            yield _violation(run, events[later], "order", binding)


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
