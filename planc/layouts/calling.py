"""The call of one module by another: through its boundary, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planc.ir.graph import Call, Function
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
    numbers = (*step.handed, *step.outer)
    path = joined(frame.path, step.module)
    placed = prover.weights.rule(bound)
    if placed is None:
        outcome = prover.call(function, bound, [frame.held[n] for n in numbers], path, frame.rule)
        frame.out.calls.append((step.module, outcome))
        _receive(frame, step, outcome.results)
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
    results = list(outcome.results)
    gate.leave(exits, results, function)
    gate.add_late(bound, results, function)
    for export in frame.prover.written.copied(function, numbers, crossings, exits):
        # The split model changes a copy, or hands one on: what the caller holds, none can tell.
        frame.fault("no-rule", step.module, "it changes in place what passes its boundary", "")
        results = [_UNKNOWN if n == export else held for n, held in zip(function.exports, results)]
    frame.out.faults += gate.faults
    frame.out.moves += gate.moves
    frame.out.passages += gate.passages
    _note(frame, step, gate, function)
    _receive(frame, step, results)
    return step.module, outcome


def _note(frame: Frame, step: Call, gate: Gate, function: Function) -> None:
    """Remember what is gathered on the way out of a module, and cut on the way into one."""
    outside = dict(zip(function.returned, step.results))
    for move in gate.moves:
        if not move.enters and move.kind == "all_gather" and move.direction == "forward":
            frame.gathered[outside[move.number]] = move
    for number, dim in gate.cut.items():
        frame.cut.setdefault(number, dim)


def _receive(frame: Frame, step: Call, results: Sequence[Held]) -> None:
    """Take over what a call gave."""
    for number, held in zip(step.results, results, strict=True):
        frame.held[number] = held


def _faults(outcome: Outcome) -> int:
    """How many faults there are in a call, and below."""
    return sum(len(below.faults) for below in outcome.distinct()) if outcome.flawed else 0


def _leaks(outcome: Outcome) -> bool:
    """Whether a gradient in parts leaves the module: then nothing inside needed it so."""
    return any(held.type is REPLICATED for held in outcome.results)
