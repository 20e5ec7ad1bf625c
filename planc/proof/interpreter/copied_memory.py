"""Copies that boundaries make, and the values that lie in them.

Views of a copy share its memory, as views of the original do in the unsplit model; the original and the copy do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.graph import Op, Value
from planc.proof.result import AbstractValue
from planc.proof.rules.inplace import is_inplace
from planc.proof.style_assumptions import iter_tensor_references

Memory = int | None
"""The copy that a value lies in: the first value of it in this function. None: memory that is no copy."""


class CopiedMemory:
    """The copies of one function."""

    def __init__(self) -> None:
        self._memory: dict[int, Memory] = {}

    def is_one(self, step: Op, values: Sequence[AbstractValue]) -> bool:
        """Whether all tensors of a step lie in the same copy, or all in none."""
        return len({self._of(item, values) for item in iter_tensor_references(step.arguments)}) == 1

    def follow(self, step: Op, values: Sequence[AbstractValue]) -> None:
        """Note where the results of an operation lie that may share memory with a copy."""
        operands = list(iter_tensor_references((step.arguments, *step.keywords.values())))
        for index, result in enumerate(step.results):
            if step.name == "aliased":
                sources = operands[index + 1 : index + 2]
            else:
                sources = operands[:1] if is_inplace(step) else operands
            found = {self._of(item, values) for item in sources}
            # Of several copies it may be any: then it counts as one of its own, and shares with no other.
            self._memory[result] = found.pop() if len(found) == 1 else result

    def _of(self, item: object, values: Sequence[AbstractValue]) -> Memory:
        if not isinstance(item, Value):
            return None
        return self._memory.get(item.number, item.number if values[item.number].copied else None)
