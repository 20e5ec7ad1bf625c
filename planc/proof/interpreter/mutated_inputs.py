"""Inputs that a module's code changes in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.graph import Call, Function, ModelGraph, Op, Value
from planc.proof.boundary.ports import BoundaryPort
from planc.proof.rules.inplace import is_inplace


class MutatedInputs:
    """Finds the exports of functions that are inputs with changed content, once for each function."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self._cache: dict[int, dict[int, int]] = {}

    def mutated_exports(self, function: Function) -> dict[int, int]:
        """The exports that are inputs with changed content: the number of the input of each."""
        found = self._cache.get(id(function))
        if found is None:
            found = self._cache[id(function)] = self._find(function)
        return found

    def mutated_across_boundary(
        self,
        function: Function,
        numbers: Sequence[int],
        inputs: Sequence[BoundaryPort],
        outputs: Sequence[BoundaryPort],
    ) -> list[int]:
        """Those of them whose input or output changes its layout at a boundary.

        Args:
            function: the code of the module.
            numbers: the caller's tensors that are the function's inputs.
            inputs: the ports where a layout changes on the way in.
            outputs: the ports where a layout changes on the way out.
        """
        entering, leaving = {port.tensor for port in inputs}, {port.tensor for port in outputs}
        mutated = self.mutated_exports(function).items()
        return [export for export, number in mutated if numbers[number] in entering or export in leaving]

    def _find(self, function: Function) -> dict[int, int]:
        content: dict[int, int] = {}

        def source(item: Any) -> int | None:
            number = item.number if isinstance(item, Value) else item
            if not isinstance(number, int) or isinstance(number, bool):
                return None
            return number if number < function.inputs else content.get(number)

        for step in function.steps:
            if isinstance(step, Op):
                targets = step.arguments[1:] if step.name == "aliased" else step.arguments[:1]
                if step.name != "aliased" and not is_inplace(step):
                    continue
                pairs = list(zip(step.results, map(source, targets), strict=False))
            else:
                pairs = [(r, source(n)) for r, n in self._mutated_by_call(step)]
            content |= {result: number for result, number in pairs if number is not None}
        return {number: content[number] for number in function.exports if number in content}

    def _mutated_by_call(self, step: Call) -> list[tuple[int, int]]:
        """The results of a call that are tensors of the caller with changed content, with these tensors."""
        function = self.graph.functions[step.function]
        inputs, below = (*step.argument_tensors, *step.free_tensors), self.mutated_exports(function)
        results = zip(function.exports, step.results, strict=False)
        return [(number, inputs[below[export]]) for export, number in results if export in below]
