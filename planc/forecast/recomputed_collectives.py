"""The collectives that recomputed regions run once more in the backward pass.

torch recomputes a region only up to the last tensor that its forward pass saved for the backward pass. So the
last collective of a region often does not run once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Recompute
from planc.ir.graph import Call, Function, Op
from planc.ir.record import Record
from planc.proof.result import Analysis, AxisProof, CollectiveEvent, join_module_path
from planc.proof.saved_by_operation import WeightInfo, saved_tensors, weight_finder


class RecomputedCollective(Record):
    """A collective of the forward pass that a region runs once more."""

    caller: str
    """The module that calls the one at whose boundary the collective is."""
    event: CollectiveEvent
    certain: bool
    """False where an operation follows of which planc does not know what it saves."""


class _Save(Enum):
    """An operation that saves a tensor, or may save one."""

    CERTAIN = 1
    POSSIBLE = 2


_Event = tuple[str, CollectiveEvent] | _Save
"""A collective with the caller of its module, or a saved tensor."""


def recomputed_collectives(binding: Binding, axis: AxisProof) -> tuple[RecomputedCollective, ...]:
    """The collectives of one axis that run once more, in the order of execution, inner regions first."""
    if not any(binding.resolved.blocks_of(Recompute)):
        return ()
    walk = _Walk(binding)
    for _, analysis in axis.analysis.calls:
        for _ in walk.events_of_call("", binding.graph.main_function, analysis, binding.root):
            pass
    return tuple(walk.found)


class _Walk:
    """Follows a model in the order of execution, and collects what its regions recompute."""

    def __init__(self, binding: Binding) -> None:
        self.binding, self.functions = binding, binding.graph.functions
        self.blocks = [number for number, _ in binding.resolved.blocks_of(Recompute)]
        self.found: list[RecomputedCollective] = []

    def events_of_call(
        self, path: str, function: Function, analysis: Analysis, bound: BoundModule
    ) -> Iterator[_Event]:
        """The events of one call of a module, its own boundary left out."""
        lines = (self.binding.entry_for(bound, number) for number in self.blocks)
        line = next((line for line in lines if line is not None), None)
        if line is None:
            yield from self._events_inside(path, function, analysis, bound)
            return
        events = list(self._events_inside(path, function, analysis, bound))
        if "collective" not in line.value.save:
            self.found += _recomputed(events)
        # An outer region sees that this one saves its inputs, and its collectives.
        yield _Save.CERTAIN
        yield from (event for event in events if not isinstance(event, _Save))

    def _events_inside(
        self, path: str, function: Function, analysis: Analysis, bound: BoundModule
    ) -> Iterator[_Event]:
        forward = [event for event in analysis.collectives if event.direction == "forward"]
        calls = iter(analysis.calls)
        weight = weight_finder(self.binding, bound)
        for step in function.steps:
            if isinstance(step, Op):
                yield from _saves(function, step, weight)
                continue
            callee = self._callee(bound, step)
            if callee is not None:
                name, call = next(calls)
                child = self.functions[step.function]
                yield from _take_events(path, forward, name, is_input=True)
                yield from self.events_of_call(join_module_path(path, name), child, call, callee)
                yield from _take_events(path, forward, name, is_input=False)

    def _callee(self, bound: BoundModule, call: Call) -> BoundModule | None:
        """The module of a call; None where the model lacks it, so that the proof has not followed the call."""
        caller = self.binding.root if call.module.startswith("/") else bound
        return caller.find_submodule(call.module.removeprefix("/"))


def _saves(function: Function, step: Op, weight: WeightInfo) -> Iterator[_Save]:
    saved = saved_tensors(function, step, weight)
    if saved is None:
        yield _Save.POSSIBLE
    elif saved:
        yield _Save.CERTAIN


def _take_events(
    path: str, forward: list[CollectiveEvent], module: str, *, is_input: bool
) -> Iterator[_Event]:
    """Take the next collectives from the list, as long as they are at one side of one call."""
    seen: set[tuple[str, int]] = set()
    while forward and forward[0].module == module and forward[0].is_input == is_input:
        key = (forward[0].port, forward[0].tensor)
        if key in seen:
            return  # the next call of the same module
        seen.add(key)
        yield path, forward.pop(0)


def _recomputed(events: Sequence[_Event]) -> Iterator[RecomputedCollective]:
    last_certain = _last_save(events, (_Save.CERTAIN,))
    for position, event in enumerate(events[: _last_save(events, tuple(_Save))]):
        if not isinstance(event, _Save):
            yield RecomputedCollective(*event, position < last_certain)


def _last_save(events: Sequence[_Event], saves: tuple[_Save, ...]) -> int:
    """The position of the last save; 0 if there is none, and torch does not recompute the region."""
    return max((position for position, event in enumerate(events) if event in saves), default=0)
