"""Inputs of a module that its code changes in place, and gives back changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.graph import Call, Function, ModelGraph, Op, Value
from planc.proof.boundary.ports import BoundaryPort
from planc.proof.rules.inplace import is_inplace


class MutatedInputs:
    """Finds them, once for each function."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self._known: dict[int, dict[int, int]] = {}

    def mutated_exports(self, function: Function) -> dict[int, int]:
        """The exports that are inputs with other content: the input of each, by its number."""
        found = self._known.get(id(function))
        if found is None:
            found = self._known[id(function)] = self._find(function)
        return found

    def mutated_across_boundary(
        self,
        function: Function,
        numbers: Sequence[int],
        inputs: Sequence[BoundaryPort],
        outputs: Sequence[BoundaryPort],
    ) -> list[int]:
        """Such exports where the input, or what comes of it, passes a boundary."""
        inside, outside = {one.tensor for one in inputs}, {one.tensor for one in outputs}
        found = self.mutated_exports(function).items()
        return [export for export, place in found if numbers[place] in inside or export in outside]

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
        """The results of a call that are tensors of the caller with other content."""
        function = self.graph.functions[step.function]
        inputs, below = (*step.argument_tensors, *step.free_tensors), self.mutated_exports(function)
        results = zip(function.exports, step.results, strict=False)
        return [(number, inputs[below[export]]) for export, number in results if export in below]
