"""What a function does to the memory of its inputs: which it writes to, and which its results may lie in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planc.ir.graph import Call, Function, ModelGraph, Op, Value
from planc.proof.regions.accesses import references, result_memory, write_target
from planc.proof.rules.catalog import find_op


class MemoryEffects:
    """What a function does to its inputs."""

    def __init__(self, inputs: int) -> None:
        self.written: set[int] = set()
        """The inputs that it writes to, itself or through a view."""
        self.sources: dict[int, frozenset[int]] = {number: frozenset([number]) for number in range(inputs)}
        """The inputs in whose memory a tensor may lie."""
        self.doubtful: set[int] = set()
        """Tensors that are views of these inputs or copies, as strides decide."""

    def sources_of(self, numbers: Iterable[int]) -> frozenset[int]:
        """The inputs in whose memory any of some tensors may lie."""
        return frozenset().union(*(self.sources.get(number, frozenset()) for number in numbers))


class MemoryEffectsOf:
    """The effects of the functions of a graph, each computed once."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._cache: dict[int, MemoryEffects] = {}

    def __call__(self, number: int) -> MemoryEffects:
        """The effects of a function of the graph, by its number."""
        if number not in self._cache:
            function = self._graph.functions[number]
            effects = self._cache[number] = MemoryEffects(function.inputs)
            for step in function.steps:
                if isinstance(step, Op):
                    _follow_op(function, step, effects)
                else:
                    _follow_call(step, self._graph.functions[step.function], self(step.function), effects)
        return self._cache[number]


def memory_sources(function: Function, step: Op) -> list[int]:
    """The operands in whose memory the results of an operation may lie, in some split model or the unsplit one."""
    row = find_op(step.name)
    found = result_memory(function, step)
    if row is not None and row.may_copy and not found:
        found = references(step.arguments[:1])
    return [item.number for item in found if isinstance(item, Value)]


def writes_anywhere(graph: ModelGraph) -> bool:
    """Whether any code of the model writes to a tensor in place."""
    return any(
        isinstance(step, Op) and write_target(step) is not None
        for function in graph.functions
        for step in function.steps
    )


def _follow_op(function: Function, step: Op, effects: MemoryEffects) -> None:
    row, target = find_op(step.name), write_target(step)
    if isinstance(target, Value):
        effects.written |= effects.sources_of([target.number])
    operands = memory_sources(function, step)
    _add_sources(effects, step.results, [effects.sources_of(operands)] * len(step.results))
    if (row is not None and row.may_copy) or not effects.doubtful.isdisjoint(operands):
        effects.doubtful |= set(step.results)


def _follow_call(step: Call, function: Function, called: MemoryEffects, effects: MemoryEffects) -> None:
    inputs = (*step.argument_tensors, *step.free_tensors)
    effects.written |= effects.sources_of(inputs[number] for number in called.written)
    for result, export in zip(step.results, function.exports, strict=False):
        sources = [inputs[number] for number in called.sources_of([export])]
        _add_sources(effects, [result], [effects.sources_of(sources)])
        if export in called.doubtful or not effects.doubtful.isdisjoint(sources):
            effects.doubtful.add(result)


def _add_sources(effects: MemoryEffects, results: Sequence[int], sources: Sequence[frozenset[int]]) -> None:
    for result, found in zip(results, sources, strict=False):
        if found:
            effects.sources[result] = found
