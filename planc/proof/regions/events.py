"""A forward pass as a sequence of reads and writes of memory, and the regions that it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Function, Op, Value, WeightRef
from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.ir.tree import leaves_with_paths
from planc.proof.regions.accesses import (
    AccessKind,
    Reference,
    changes_saved,
    op_accesses,
    result_memory,
    write_target,
)
from planc.proof.regions.selective_saves import SelectiveSaves
from planc.proof.result import join_module_path
from planc.proof.saved_by_operation import weight_finder

Memory = int | str
"""Memory of a tensor that an operation made, by a number of the pass; that of a weight, by its name in the model."""


class MemoryRange(Record):
    """The memory that a tensor may lie in."""

    memory: frozenset[Memory]
    is_whole: bool
    """Whether it is all of that memory; else it may be a part."""


_NO_MEMORY = MemoryRange(frozenset(), is_whole=False)


class Event(Record):
    """One access to one piece of memory."""

    memory: Memory
    kind: AccessKind
    module: str
    """The module whose code runs."""
    operation: str


class RegionRun(Record):
    """One run of a region in the forward pass."""

    module: str
    entry: Located
    """Its line of the plan."""
    start: int
    stop: int
    """Its events: those from `start` to before `stop`."""
    first_own: int
    """Memory with this number, or a larger one, is made by the region or later."""
    arguments: Mapping[Memory, str]
    """The arguments, by their memory: a position or a keyword."""
    saved: frozenset[Memory]
    """The memory of tensors that are arguments by position: torch's checkpoint saves these for the backward pass, and
    autograd refuses to change what is saved."""


def saves_results(binding: Binding, blocks: Sequence[int]) -> bool:
    """Whether a region keeps results of operations."""
    return any(entry.value.save for block in blocks for entry in binding.resolved.blocks[block].entries)


class ForwardEvents:
    """Follows a model, and lists what its operations do to memory.

    Args:
        binding: the plan and the model.
        blocks: the numbers of the blocks whose entries are regions.
    """

    def __init__(self, binding: Binding, blocks: Sequence[int]) -> None:
        self.binding, self.graph, self.blocks = binding, binding.graph, blocks
        self.events: list[Event] = []
        self.runs: list[RegionRun] = []
        self.kept = SelectiveSaves()
        self._keeps = saves_results(binding, blocks)
        self._made = 0
        self._names = {name: tie[0] for tie in (*self.graph.ties, *self.graph.buffer_ties) for name in tie}

    def run(self) -> None:
        """Follow the whole model."""
        main = self.graph.main_function
        inputs = [self._new_memory() for _ in range(main.inputs)]
        arguments = zip(inputs, self.graph.inputs, strict=False)
        names = {memory: name for place, name in arguments for memory in place.memory}
        self._region("", main, self.binding.root, inputs, names, frozenset(names))

    def _new_memory(self) -> MemoryRange:
        self._made += 1
        return MemoryRange(frozenset((self._made,)), is_whole=True)

    def _region(
        self,
        path: str,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[MemoryRange],
        arguments: Mapping[Memory, str],
        saved: frozenset[Memory],
    ) -> list[MemoryRange]:
        """The memory of the exports of a call, which is a region or not."""
        entries = [self.binding.entry_for(bound, block) for block in self.blocks]
        start, first_own = len(self.events), self._made + 1
        results = self._body(path, function, bound, inputs)
        for entry in entries:
            if entry is not None:
                self.runs.append(RegionRun(path, entry, start, len(self.events), first_own, arguments, saved))
        return results

    def _body(
        self, path: str, function: Function, bound: BoundModule, inputs: Sequence[MemoryRange]
    ) -> list[MemoryRange]:
        values = dict(enumerate(inputs))
        for step in function.steps:
            if isinstance(step, Call):
                self._call(path, bound, step, values)
            elif step.name == "aliased":
                self._aliased(path, step, values)
            elif not step.name.startswith("number."):
                self._op(path, function, bound, step, values)
        return [values.get(number, _NO_MEMORY) for number in function.exports]

    def _call(self, path: str, bound: BoundModule, step: Call, values: dict[int, MemoryRange]) -> None:
        start = self.binding.root if step.module.startswith("/") else bound
        child = start.find_submodule(step.module.removeprefix("/"))
        if child is None:
            values.update({number: self._new_memory() for number in step.results})
            return
        inputs = [values[number] for number in (*step.argument_tensors, *step.free_tensors)]
        arguments = {
            memory: str(keys[0])
            for tree in (step.keywords, step.arguments)
            for keys, value in leaves_with_paths(tree, Value)
            for memory in values[value.number].memory
        }
        passed = [item for item in step.arguments if isinstance(item, Value)]
        saved = frozenset[Memory]().union(*(values[item.number].memory for item in passed))
        function = self.graph.functions[step.function]
        name = join_module_path(path, step.module)
        values.update(
            zip(step.results, self._region(name, function, child, inputs, arguments, saved), strict=False)
        )

    def _op(
        self, path: str, function: Function, bound: BoundModule, step: Op, values: dict[int, MemoryRange]
    ) -> None:
        made = self._made
        for item, kind in op_accesses(function, step):
            self._add(self._place(path, item, values), kind, path, step)
        places = [self._place(path, item, values) for item in result_memory(function, step)]
        if write_target(step) is not None and places:
            result = places[0]
        else:
            memory = frozenset[Memory]().union(*(place.memory for place in places))
            result = MemoryRange(memory, is_whole=False)
        for number in step.results:
            values[number] = result if result.memory else self._new_memory()
        if self._keeps:
            new = range(made + 1, self._made + 1)
            self.kept.add(function, step, weight_finder(self.binding, bound), new, len(self.events))
            if changes_saved(step):
                self.events += [Event(each, "write", path, step.name) for each in new]

    def _aliased(self, path: str, step: Op, values: dict[int, MemoryRange]) -> None:
        """The views of a tensor that was written to: other weights in its memory have changed, too."""
        changed, *others = step.arguments
        known = self._place(path, changed, values).memory
        for item, number in zip(others, step.results, strict=False):
            place = values[number] = self._place(path, item, values)
            if isinstance(item, WeightRef):
                self._add(MemoryRange(place.memory - known, is_whole=False), "write", path, step)

    def _add(self, place: MemoryRange, kind: AccessKind, path: str, step: Op) -> None:
        is_part = kind == "overwrite" and not (place.is_whole and len(place.memory) == 1)
        self.events += [Event(each, "write" if is_part else kind, path, step.name) for each in place.memory]

    def _place(self, path: str, item: Reference | Any, values: Mapping[int, MemoryRange]) -> MemoryRange:
        if isinstance(item, Value):
            return values.get(item.number, _NO_MEMORY)
        if not isinstance(item, WeightRef):
            return _NO_MEMORY
        name = join_module_path(path, item.name)
        return MemoryRange(frozenset((self._names.get(name, name),)), is_whole=True)
