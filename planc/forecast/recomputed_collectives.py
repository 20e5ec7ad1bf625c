"""What regions of `recompute` communicate again in the backward pass.

Torch runs a region again only up to the last tensor that its forward pass kept for the backward
pass, and what comes after that is left out. So a region's last collective often does not run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from planc.bind.binding import Binding, BoundModule
from planc.forecast.memory import WeightInfo, saved_tensors
from planc.ir.blocks import Recompute
from planc.ir.graph import Call, Function, Op, TensorInfo
from planc.ir.record import Record
from planc.proof.result import Analysis, AxisProof, CollectiveEvent, join_module_path


class RecomputedCollective(Record):
    """A collective of the forward pass that a region runs again."""

    caller: str
    """Of the module that calls the one at whose boundary it is."""
    event: CollectiveEvent
    certain: bool
    """False where it depends on an operation of which it is not known whether it keeps a tensor."""


class _Kept(Enum):
    """A tensor that is kept for the backward pass."""

    SURE = 1
    PERHAPS = 2


_Event = tuple[str, CollectiveEvent] | _Kept


def recomputed_collectives(binding: Binding, axis: AxisProof) -> tuple[RecomputedCollective, ...]:
    """The collectives of one axis that run again, in the order of execution, inner regions first."""
    if not any(binding.resolved.blocks_of(Recompute)):
        return ()
    walk = _Walk(binding)
    for _, outcome in axis.analysis.calls:
        for _ in walk.called("", binding.graph.main_function, outcome, binding.root):
            pass
    return tuple(walk.found)


class _Walk:
    """Follows a model in the order of execution."""

    def __init__(self, binding: Binding) -> None:
        self.binding, self.functions = binding, binding.graph.functions
        self.blocks = [number for number, _ in binding.resolved.blocks_of(Recompute)]
        self.found: list[RecomputedCollective] = []

    def called(
        self, path: str, function: Function, outcome: Analysis, bound: BoundModule
    ) -> Iterator[_Event]:
        """One call of a module, inside of its boundary."""
        lines = (self.binding.entry_for(bound, number) for number in self.blocks)
        line = next((line for line in lines if line is not None), None)
        if line is None:
            yield from self._inside(path, function, outcome, bound)
            return
        events = list(self._inside(path, function, outcome, bound))
        if "collective" not in line.value.save:
            self.found += _again(events)
        # What is around sees no more of it than that it keeps its inputs, and what it communicates.
        yield _Kept.SURE
        yield from (event for event in events if not isinstance(event, _Kept))

    def _inside(
        self, path: str, function: Function, outcome: Analysis, bound: BoundModule
    ) -> Iterator[_Event]:
        moves = [move for move in outcome.collectives if move.direction == "forward"]
        calls = iter(outcome.calls)
        weight = self._weights(bound)
        for step in function.steps:
            if isinstance(step, Op):
                yield from _kept(function, step, weight)
                continue
            child = self._bound(bound, step)
            if child is not None:
                name, called = next(calls)
                yield from _taken(path, moves, name, enters=True)
                yield from self.called(
                    join_module_path(path, name), self.functions[step.function], called, child
                )
                yield from _taken(path, moves, name, enters=False)

    def _weights(self, bound: BoundModule) -> WeightInfo:
        """Finds the parameters and buffers of a module and of those below it by their names."""

        def find(name: str) -> TensorInfo | None:
            path, _, own = name.removeprefix("/").rpartition(".")
            owner = (self.binding.root if name.startswith("/") else bound).find_submodule(path)
            if owner is None:
                return None
            return owner.module.parameters.get(own) or owner.module.buffers.get(own)

        return find

    def _bound(self, bound: BoundModule, step: Call) -> BoundModule | None:
        """The module that is called; none where the graph lacks it, and the proof followed no call."""
        above = self.binding.root if step.module.startswith("/") else bound
        return above.find_submodule(step.module.removeprefix("/"))


def _kept(function: Function, step: Op, weight: WeightInfo) -> Iterator[_Kept]:
    saved = saved_tensors(function, step, weight)
    if saved is None:
        yield _Kept.PERHAPS
    elif saved:
        yield _Kept.SURE


def _taken(path: str, moves: list[CollectiveEvent], name: str, *, enters: bool) -> Iterator[_Event]:
    """The next collectives, as long as they are those of one side of a call."""
    seen: set[tuple[str, int]] = set()
    while moves and moves[0].module == name and moves[0].is_input == enters:
        key = (moves[0].port, moves[0].tensor)
        if key in seen:
            # Of the next call of the same module.
            return
        seen.add(key)
        yield path, moves.pop(0)


def _again(events: Sequence[_Event]) -> Iterator[RecomputedCollective]:
    sure = _last(events, (_Kept.SURE,))
    for place, event in enumerate(events[: _last(events, tuple(_Kept))]):
        if not isinstance(event, _Kept):
            yield RecomputedCollective(*event, place < sure)


def _last(events: Sequence[_Event], kinds: tuple[_Kept, ...]) -> int:
    """Where the last tensor is kept; 0: none is, and the region does not run again."""
    return max((place for place, event in enumerate(events) if event in kinds), default=0)
