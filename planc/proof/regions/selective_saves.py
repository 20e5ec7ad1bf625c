"""Results that a region keeps by `save(...)`: the second run finds them instead of computing them again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from planc.ir.graph import Function, Op
from planc.ir.record import Record
from planc.proof.rules.catalog import find_op
from planc.proof.rules.registry import SavedKind
from planc.proof.saved_by_operation import WeightInfo, saved_tensors


class SavedResult(Record):
    """A result that regions keep which save its kind."""

    memory: int
    kinds: tuple[SavedKind, ...]
    number: int
    """How many events came before it."""


class SelectiveSaves:
    """What a forward pass lets regions keep, and where it saves tensors for the backward pass."""

    def __init__(self) -> None:
        self._kept: list[SavedResult] = []
        self._saves: list[int] = []

    def add(
        self, function: Function, step: Op, weight: WeightInfo, memory: Sequence[int], number: int
    ) -> None:
        """An operation, the memory that it has made, and how many events came before its result."""
        if saved_tensors(function, step, weight) != ():
            self._saves.append(number)
        row = find_op(step.name)
        if row is not None and row.changes_saved:
            self._saves.append(number + 1)  # the operations that it is computed of save tensors, too
        if row is not None and row.saved_as:
            self._kept += [SavedResult(each, row.saved_as, number) for each in memory]

    def changed(
        self, start: int, stop: int, kinds: Sequence[str], writes: Mapping[Any, Sequence[int]]
    ) -> Iterator[tuple[int, int]]:
        """The kept memory of a region that changes before the second run finds it, each with the first event that
        changes it.

        torch ends a second run with the last tensor that the region has saved: what is kept after that is not asked for.

        Args:
            start, stop: the events of the region.
            kinds: what it saves.
            writes: the numbers of events that write to memory.
        """
        saves = self._saves[bisect_left(self._saves, start) : bisect_right(self._saves, stop)]
        first = bisect_left(self._kept, start, key=_number_of)
        last = bisect_left(self._kept, saves[-1] if saves else start, key=_number_of)
        for kept in self._kept[first:last]:
            if not set(kept.kinds).isdisjoint(kinds):
                change = next((n for n in writes.get(kept.memory, ()) if n >= kept.number), None)
                if change is not None:
                    yield kept.memory, change


def _number_of(kept: SavedResult) -> int:
    return kept.number
