"""Arguments that a module's code changes in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planc.ir.graph import Call, Function, ModelGraph, Op, Value, distinct_tensors
from planc.ir.lowered import TensorPath
from planc.proof.boundary.ports import argument_tensors
from planc.proof.result import join_module_path
from planc.proof.rules.catalog import find_op
from planc.proof.rules.inplace import is_inplace


class _Effects:
    """What a function does to its inputs."""

    def __init__(self, inputs: int) -> None:
        self.written: set[int] = set()
        """The inputs that it writes to, itself or through a view."""
        self.sources: dict[int, frozenset[int]] = {number: frozenset([number]) for number in range(inputs)}
        """The inputs in whose memory a tensor may lie."""

    def sources_of(self, numbers: Iterable[int]) -> frozenset[int]:
        """The inputs in whose memory any of some tensors may lie."""
        return frozenset().union(*(self.sources.get(number, frozenset()) for number in numbers))


def written_inputs(graph: ModelGraph) -> dict[str, set[TensorPath]]:
    """For each module whose code writes to an argument, in a call of it: the paths of these arguments."""
    cache: dict[int, _Effects] = {}
    found: dict[str, set[TensorPath]] = {}

    def visit(number: int, module: str) -> None:
        for step in graph.functions[number].steps:
            if isinstance(step, Op):
                continue
            called = join_module_path(module, step.module)
            inputs, written = step.argument_tensors, _effects(graph, step.function, cache).written
            for path, tensor in argument_tensors(step):
                if inputs.index(tensor) in written:
                    found.setdefault(called, set()).add(path)
            visit(step.function, called)

    if any(
        isinstance(step, Op) and is_inplace(step) for function in graph.functions for step in function.steps
    ):
        visit(len(graph.functions) - 1, "")
    return found


def _effects(graph: ModelGraph, number: int, cache: dict[int, _Effects]) -> _Effects:
    if number not in cache:
        function = graph.functions[number]
        effects = cache[number] = _Effects(function.inputs)
        for step in function.steps:
            if isinstance(step, Op):
                _follow_op(step, effects)
            else:
                _follow_call(
                    step, graph.functions[step.function], _effects(graph, step.function, cache), effects
                )
    return cache[number]


def _follow_op(step: Op, effects: _Effects) -> None:
    row, writes = find_op(step.name), is_inplace(step)
    operands = distinct_tensors((step.arguments, step.keywords))
    if writes and step.arguments and isinstance(step.arguments[0], Value):
        effects.written |= effects.sources_of([step.arguments[0].number])
    if writes or row is None or row.may_alias:
        _add_sources(effects, step.results, [effects.sources_of(operands)] * len(step.results))


def _follow_call(step: Call, function: Function, called: _Effects, effects: _Effects) -> None:
    inputs = (*step.argument_tensors, *step.free_tensors)
    effects.written |= effects.sources_of(inputs[number] for number in called.written)
    sources = [
        effects.sources_of(inputs[number] for number in called.sources_of([export]))
        for export in function.exports
    ]
    _add_sources(effects, step.results, sources)


def _add_sources(effects: _Effects, results: Sequence[int], sources: Sequence[frozenset[int]]) -> None:
    for result, found in zip(results, sources, strict=False):
        if found:
            effects.sources[result] = found
