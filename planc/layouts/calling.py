"""The call of one module by another: through its boundary, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planc.ir.graph import Call, Function, Value
from planc.ir.settled import Placed
from planc.layouts.gate import Gate
from planc.layouts.outcome import Held, Outcome, joined
from planc.layouts.ports import entering, leaving
from planc.layouts.types import INVARIANT, REPLICATED, UNKNOWN
from planc.resolve.bind import Bound

if TYPE_CHECKING:
    from planc.layouts.interpret import Frame

_UNKNOWN = Held(UNKNOWN)


def invoke(frame: Frame, step: Call) -> None:
    """Follow the call of a module through its boundary."""
    frame.step = None
    prover = frame.prover
    bound = (prover.binding.root if step.module.startswith("/") else frame.bound).below(
        step.module.removeprefix("/")
    )
    function = prover.graph.functions[step.function]
    if bound is None:
        frame.fault("no-rule", step.module, "the graph calls a module that it does not have", "")
        return
    numbers = handed(step)
    path = joined(frame.path, step.module)
    placed = prover.weights.rule(bound)
    if placed is None:
        outcome = prover.call(function, bound, [frame.held[n] for n in numbers], path, frame.rule)
        frame.out.calls.append((step.module, outcome))
        _receive(frame, step, numbers, outcome.results)
        return
    frame.out.calls.append(_cross(frame, step, function, bound, numbers, placed, path))


def _cross(
    frame: Frame,
    step: Call,
    function: Function,
    bound: Bound,
    numbers: Sequence[int],
    placed: Placed,
    path: str,
) -> tuple[str, Outcome]:
    """Follow the call of a module that has a rule, and with it a boundary."""
    crossings = list(entering(placed.value, bound.module, step))
    exits = list(leaving(placed.value, function))
    tries: list[tuple[tuple[int, bool], Gate, Outcome]] = []
    for whole in (REPLICATED, INVARIANT):
        gate = Gate(frame, placed, step.module, step)
        inputs = gate.enter(crossings, numbers, whole)
        outcome = frame.prover.call(function, bound, inputs, path, placed)
        tries.append(((len(gate.faults) + _faults(outcome), _leaks(outcome)), gate, outcome))
        if not gate.chose or not any(tries[0][0]):
            break
    # «replicate» is the one of its two types that fits; where both do, the one that sums here.
    # Where neither does, the one with less against it: the rest only follows from the choice.
    _, gate, outcome = min(tries, key=lambda tried: tried[0])
    results = dict(zip(function.exports, outcome.results, strict=True))
    gate.leave(exits, results, function)
    gate.add_late(bound, results, function)
    for export in frame.prover.written.copied(function, numbers, crossings, exits):
        # The split model changes a copy, or hands one on: what the caller holds, none can tell.
        frame.fault("no-rule", step.module, "it changes in place what passes its boundary", "")
        results[export] = _UNKNOWN
    frame.out.faults += gate.faults
    frame.out.moves += gate.moves
    frame.out.passages += gate.passages
    _note(frame, step, gate, function)
    _receive(frame, step, numbers, [results[export] for export in function.exports])
    return step.module, outcome


def _note(frame: Frame, step: Call, gate: Gate, function: Function) -> None:
    """Remember what is gathered on the way out of a module, and cut on the way into one."""
    outside = dict(zip(function.exports, step.results, strict=True))
    for move in gate.moves:
        if not move.enters and move.kind == "all_gather" and move.direction == "forward":
            frame.gathered[outside[move.number]] = move
    for number, dim in gate.cut.items():
        frame.cut.setdefault(number, dim)


def _receive(frame: Frame, step: Call, numbers: Sequence[int], results: Sequence[Held]) -> None:
    """Take over what a call gave."""
    for number, held in zip(step.results, results, strict=True):
        if number in numbers and held.type is not frame.held[number].type:
            # The graph has one tensor where the split model has two: which is used later, none can tell.
            frame.fault("no-rule", step.module, "it returns what it was handed, changed at its boundary", "")
            held = _UNKNOWN
        frame.held[number] = held


def _faults(outcome: Outcome) -> int:
    """How many faults there are in a call, and below."""
    return sum(len(below.faults) for below in outcome.distinct()) if outcome.flawed else 0


def _leaks(outcome: Outcome) -> bool:
    """Whether a gradient in parts leaves the module: then nothing inside needed it so."""
    return any(held.type is REPLICATED for held in outcome.results)


def handed(step: Call) -> list[int]:
    """The inputs of a call: the distinct tensors of its arguments, in order, then its outer ones."""
    numbers: dict[int, None] = {}
    _collect((step.arguments, step.keywords), numbers)
    return [*numbers, *step.outer]


def _collect(item: Any, numbers: dict[int, None]) -> None:
    if isinstance(item, Value):
        numbers[item.number] = None
    elif isinstance(item, tuple):
        for part in item:
            _collect(part, numbers)
    elif isinstance(item, Mapping):
        for part in item.values():
            _collect(part, numbers)
