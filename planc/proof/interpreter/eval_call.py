"""The call of one module by another: through its boundary, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planc.bind.binding import BoundModule
from planc.ir.graph import Call, Function
from planc.ir.resolved import Located
from planc.proof.boundary.module_boundary import ModuleBoundary
from planc.proof.boundary.ports import input_ports, output_ports
from planc.proof.result import AbstractValue, Analysis, join_module_path
from planc.proof.types import INVARIANT, REPLICATED, UNKNOWN

if TYPE_CHECKING:
    from planc.proof.interpreter.interpreter import Frame

_UNKNOWN = AbstractValue(UNKNOWN)


def eval_call(frame: Frame, step: Call) -> None:
    """Follow the call of a module through its boundary."""
    frame.current_op = None
    prover = frame.interpreter
    bound = (prover.binding.root if step.module.startswith("/") else frame.bound).find_submodule(
        step.module.removeprefix("/")
    )
    function = prover.graph.functions[step.function]
    if bound is None:
        frame.add_violation("no-rule", step.module, "the graph calls a module that it does not have", "")
        return
    numbers = (*step.argument_tensors, *step.free_tensors)
    path = join_module_path(frame.path, step.module)
    placed = prover.param_types.rule_of(bound)
    if placed is None:
        outcome = prover.analyze(
            function, bound, [frame.values[n] for n in numbers], path, frame.governing_rule
        )
        frame.analysis.calls.append((step.module, outcome))
        _store_results(frame, step, outcome.results)
        return
    frame.analysis.calls.append(_eval_bounded_call(frame, step, function, bound, numbers, placed, path))


def _eval_bounded_call(
    frame: Frame,
    step: Call,
    function: Function,
    bound: BoundModule,
    numbers: Sequence[int],
    placed: Located,
    path: str,
) -> tuple[str, Analysis]:
    """Follow the call of a module that has a rule, and with it a boundary."""
    crossings = list(input_ports(placed.value, bound.module, step))
    exits = list(output_ports(placed.value, function))
    tries: list[tuple[tuple[int, bool], ModuleBoundary, Analysis]] = []
    for whole in (REPLICATED, INVARIANT):
        gate = ModuleBoundary(frame, placed, step.module, step)
        inputs = gate.convert_inputs(crossings, numbers, whole)
        outcome = frame.interpreter.analyze(function, bound, inputs, path, placed)
        tries.append(
            (
                (len(gate.violations) + _violation_count(outcome), _returns_partial_gradient(outcome)),
                gate,
                outcome,
            )
        )
        if not gate.replicate_is_ambiguous or not any(tries[0][0]):
            break
    # «replicate» is the one of its two types that fits; where both do, the one that sums here.
    # Where neither does, the one with less against it: the rest only follows from the choice.
    _, gate, outcome = min(tries, key=lambda tried: tried[0])
    results = list(outcome.results)
    gate.convert_outputs(exits, results, function)
    gate.add_deferred_bias(bound, results, function)
    for export in frame.interpreter.mutated_inputs.mutated_across_boundary(
        function, numbers, crossings, exits
    ):
        # The split model changes a copy, or hands one on: what the caller holds, none can tell.
        frame.add_violation("no-rule", step.module, "it changes in place what passes its boundary", "")
        results = [_UNKNOWN if n == export else held for n, held in zip(function.exports, results)]
    frame.analysis.violations += gate.violations
    frame.analysis.collectives += gate.collectives
    frame.analysis.boundary_changes += gate.changes
    _record_gathers_and_slices(frame, step, gate, function)
    _store_results(frame, step, results)
    return step.module, outcome


def _record_gathers_and_slices(frame: Frame, step: Call, gate: ModuleBoundary, function: Function) -> None:
    """Remember what is gathered on the way out of a module, and cut on the way into one."""
    outside = dict(zip(function.returned_tensors, step.results))
    for move in gate.collectives:
        if not move.is_input and move.kind == "all_gather" and move.direction == "forward":
            frame.gathered_outputs[outside[move.tensor]] = move
    for number, dim in gate.sliced_inputs.items():
        frame.sliced_inputs.setdefault(number, dim)


def _store_results(frame: Frame, step: Call, results: Sequence[AbstractValue]) -> None:
    """Take over what a call gave."""
    for number, held in zip(step.results, results, strict=True):
        frame.values[number] = held


def _violation_count(outcome: Analysis) -> int:
    """How many faults there are in a call, and below."""
    return (
        sum(len(below.violations) for below in outcome.distinct_analyses()) if outcome.has_violations else 0
    )


def _returns_partial_gradient(outcome: Analysis) -> bool:
    """Whether a gradient in parts leaves the module: then nothing inside needed it so."""
    return any(held.type is REPLICATED for held in outcome.results)
