"""Views in the split model that are copies in the unsplit one.

`reshape`, `flatten` and `contiguous` return a view where strides allow it, and else a copy. A boundary returns plain strides
whatever arrives, and a dim that a rank has one entry of has no stride that matters: then a write to the result changes
the operand too, which the unsplit model has copied. The other way round does not happen: where the unsplit model has
a view, so has the split one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planc.ir.graph import Call, Function, Op, Value, distinct_tensors
from planc.proof.memory_effects import MemoryEffects, memory_sources
from planc.proof.regions.accesses import write_target
from planc.proof.result import AbstractValue
from planc.proof.rules.catalog import find_op
from planc.proof.types import sharded_dim


class _Family:
    """Tensors that may share memory."""

    def __init__(self, number: int) -> None:
        self.members = {number}
        self.is_doubtful = False
        """Whether they may share it in the split model alone."""


class ViewsOrCopies:
    """The tensors of one function that may share memory.

    Args:
        function: the function.
        ranks: the size of the axis.
    """

    def __init__(self, function: Function, ranks: int) -> None:
        self._function, self._ranks = function, ranks
        self._families: dict[int, _Family] = {}
        self._last_uses: dict[int, int] = {}

    def follow_op(self, index: int, step: Op, values: Sequence[AbstractValue]) -> bool:
        """Whether an operation writes to memory that other code reads later, in the split model alone.

        Args:
            index: the number of the step.
        """
        target, row = write_target(step), find_op(step.name)
        is_seen = isinstance(target, Value) and self._is_read_after(index, target.number)
        if step.name == "aliased":
            self._link([*distinct_tensors(step.arguments), *step.results])
            return False
        sources = memory_sources(self._function, step)
        self._link([*sources, *step.results] if sources else [])
        if row is not None and row.may_copy and any(self._is_restrided(n, values) for n in sources):
            self._family(sources[0]).is_doubtful = True
        return is_seen

    def follow_call(
        self,
        index: int,
        step: Call,
        called: Function,
        effects: MemoryEffects,
        values: Sequence[AbstractValue],
    ) -> bool:
        """The same for the call of a module."""
        inputs = (*step.argument_tensors, *step.free_tensors)
        is_seen = any(self._is_read_after(index, inputs[number], inputs) for number in effects.written)
        for result, export in zip(step.results, called.exports, strict=False):
            sources = [inputs[number] for number in effects.sources_of([export])]
            self._link([*sources, result] if sources else [])
            if export in effects.doubtful and any(self._is_restrided(n, values) for n in sources):
                self._family(result).is_doubtful = True
        return is_seen

    def _family(self, number: int) -> _Family:
        return self._families.setdefault(number, _Family(number))

    def _link(self, numbers: Iterable[int]) -> None:
        first: _Family | None = None
        for number in numbers:
            family = self._family(number)
            if first is None:
                first = family
            elif family is not first:
                first.members |= family.members
                first.is_doubtful |= family.is_doubtful
                self._families |= dict.fromkeys(family.members, first)

    def _is_restrided(self, number: int, values: Sequence[AbstractValue]) -> bool:
        """Whether a tensor may have other strides than in the unsplit model."""
        value, shape = values[number], self._function.tensors[number].shape
        dim = sharded_dim(value.type)
        return value.copied or (dim is not None and shape[dim] == self._ranks)

    def _is_read_after(self, index: int, target: int, beside: Sequence[int] = ()) -> bool:
        """Whether a tensor that may share memory with one that is written is used later, or beside it in the call.
        What shares it in the unsplit model too has a new number then."""
        family = self._families.get(target)
        if family is None or not family.is_doubtful:
            return False
        others = family.members - {target}
        steps = self._function.steps
        following = steps[index + 1] if index + 1 < len(steps) else None
        until = index + 1 if isinstance(following, Op) and following.name == "aliased" else index
        last = self._last_use
        return not others.isdisjoint(beside) or any(last(number) > until for number in others)

    def _last_use(self, number: int) -> int:
        if not self._last_uses:
            for index, step in enumerate(self._function.steps):
                free = () if isinstance(step, Op) else step.free_tensors
                for used in (*distinct_tensors((step.arguments, step.keywords)), *free):
                    self._last_uses[used] = index
            self._last_uses |= dict.fromkeys(self._function.exports, len(self._function.steps))
        return self._last_uses.get(number, -1)
