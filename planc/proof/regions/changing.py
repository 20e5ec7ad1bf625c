"""Whether a model changes memory that one of its modules did not make. Most do not, and need no closer look."""

from __future__ import annotations

from collections.abc import Sequence

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Function, ModelGraph, Op, Value, WeightRef
from planc.proof.regions.accesses import changes_saved, op_accesses, result_memory, writes_memory
from planc.proof.regions.events import saves_results


def may_change_memory(binding: Binding, blocks: Sequence[int]) -> bool:
    """Whether code of the model may change memory that a region reads.

    Args:
        binding: the plan and the model.
        blocks: the numbers of the blocks whose entries are regions.
    """
    graph = binding.graph
    changing = {id(function) for function in graph.functions if _writes(function)}
    if not changing:
        return False
    if saves_results(binding, blocks):
        return True  # such a region finds what it has made itself
    if any(_changes_foreign(function) for function in graph.functions if id(function) in changing):
        return True
    # What is left are writes of a function to memory of its own, which a region that it calls may have read.
    return any(id(function) in changing for function in _callers_of_regions(binding, blocks))


def _writes(function: Function) -> bool:
    return any(
        isinstance(step, Op) and (writes_memory(step) or changes_saved(step)) for step in function.steps
    )


def _changes_foreign(function: Function) -> bool:
    """Whether the code of a module writes to what may be memory of its inputs, of its weights or of other modules."""
    foreign = set(range(function.inputs))
    for step in function.steps:
        if isinstance(step, Call):
            foreign.update(step.results)
            continue
        written = [item for item, kind in op_accesses(function, step) if kind != "read"]
        if any(isinstance(item, WeightRef) or item.number in foreign for item in written):
            return True
        if any(_is_foreign(item, foreign) for item in result_memory(function, step)):
            foreign.update(step.results)
    return False


def _is_foreign(item: Value | WeightRef, foreign: set[int]) -> bool:
    return isinstance(item, WeightRef) or item.number in foreign


def _callers_of_regions(binding: Binding, blocks: Sequence[int]) -> list[Function]:
    """The functions that call a region, or a function that does."""
    graph: ModelGraph = binding.graph
    found: dict[int, Function] = {}
    seen: set[tuple[int, int]] = set()

    def visit(function: Function, bound: BoundModule) -> bool:
        calls = False
        for step in function.steps:
            if not isinstance(step, Call):
                continue
            start = binding.root if step.module.startswith("/") else bound
            child = start.find_submodule(step.module.removeprefix("/"))
            if child is None:
                continue
            key = (step.function, id(child))
            inner = graph.functions[step.function]
            is_region = any(block in child.entries for block in blocks)
            if key not in seen:
                seen.add(key)
                calls |= visit(inner, child)
            calls |= is_region or id(inner) in found
        if calls:
            found[id(function)] = function
        return calls

    visit(graph.main_function, binding.root)
    return list(found.values())
