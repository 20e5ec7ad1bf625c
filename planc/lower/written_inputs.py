"""Arguments that a module's code changes in place."""

from __future__ import annotations

from planc.ir.graph import ModelGraph, Op
from planc.ir.lowered import TensorPath
from planc.proof.boundary.ports import argument_tensors
from planc.proof.memory_effects import MemoryEffectsOf, writes_anywhere
from planc.proof.result import join_module_path


def written_inputs(graph: ModelGraph) -> dict[str, set[TensorPath]]:
    """For each module whose code writes to an argument, in a call of it: the paths of these arguments."""
    effects_of = MemoryEffectsOf(graph)
    found: dict[str, set[TensorPath]] = {}

    def visit(number: int, module: str) -> None:
        for step in graph.functions[number].steps:
            if isinstance(step, Op):
                continue
            called = join_module_path(module, step.module)
            inputs, written = step.argument_tensors, effects_of(step.function).written
            for path, tensor in argument_tensors(step):
                if inputs.index(tensor) in written:
                    found.setdefault(called, set()).add(path)
            visit(step.function, called)

    if writes_anywhere(graph):
        visit(len(graph.functions) - 1, "")
    return found
