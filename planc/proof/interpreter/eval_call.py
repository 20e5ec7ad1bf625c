"""The call of one module by another: through its boundary, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planc.bind.binding import BoundModule
from planc.ir.graph import Call, Function
from planc.ir.resolved import Located
from planc.proof.boundary.module_boundary import ModuleBoundary
from planc.proof.boundary.ports import input_ports, output_ports
from planc.proof.interpreter.frame import Frame
from planc.proof.result import UNKNOWN_VALUE, AbstractValue, Analysis, ProgramPoint, join_module_path
from planc.proof.types import INVARIANT, REPLICATED
from planc.proof.unproved import MissingModule, MutatedAtBoundary

Analyze = Callable[[Function, BoundModule, Sequence[AbstractValue], str, Located | None], Analysis]
"""Analyzes a function: its module, its inputs, its name in the model, and the rule that governs it."""


def eval_call(frame: Frame, call: Call, analyze: Analyze) -> None:
    """Follow the call of a module through its boundary, and store its results in the frame."""
    frame.begin_step()
    context = frame.context
    bound = context.find_module(call.module, frame.bound)
    function = context.graph.functions[call.function]
    if bound is None:
        frame.add_violation(MissingModule(), ProgramPoint("call", call.module))
        return
    numbers = (*call.argument_tensors, *call.free_tensors)
    path = join_module_path(frame.path, call.module)
    rule = context.param_types.rule_of(bound)
    if rule is None:
        inputs = [frame.values[number] for number in numbers]
        analysis = analyze(function, bound, inputs, path, frame.governing_rule)
        results: Sequence[AbstractValue] = analysis.results
    else:
        analysis, results = _BoundedCall(frame, call, function, bound, numbers, rule, path).run(analyze)
    frame.analysis.calls.append((call.module, analysis))
    for number, value in zip(call.results, results, strict=True):
        frame.values[number] = value


class _BoundedCall:
    """The call of a module that has a rule, and with it a boundary."""

    def __init__(
        self,
        frame: Frame,
        call: Call,
        function: Function,
        bound: BoundModule,
        numbers: Sequence[int],
        rule: Located,
        path: str,
    ) -> None:
        self.frame, self.call, self.function, self.bound = frame, call, function, bound
        self.numbers, self.rule, self.path = numbers, rule, path
        self.inputs = list(input_ports(rule.value, bound.module, call))
        self.outputs = list(output_ports(rule.value, function))

    def run(self, analyze: Analyze) -> tuple[Analysis, list[AbstractValue]]:
        """The analysis of the module's code, and the results as the caller sees them."""
        boundary, analysis = self._enter(analyze)
        results = list(analysis.results)
        context = self.frame.context
        boundary.convert_outputs(
            self.outputs, results, self.function, sums_gradients=context.sums_output_gradients
        )
        context.may_sum_output_gradients |= boundary.may_sum_output_gradients
        param_types = self.frame.context.param_types.types_of(self.bound)
        boundary.add_deferred_bias(param_types, self.bound.module.parameters, results, self.function)
        results = self._drop_mutated_inputs(results)
        self._record(boundary)
        return analysis, results

    def _enter(self, analyze: Analyze) -> tuple[ModuleBoundary, Analysis]:
        """Analyze the module's code with the meaning of «replicate» that fits its inputs.

        Of the two types of «replicate», the first that has no violation and whose results need no
        all-reduce of gradients is right; where neither is, the one with fewer violations.
        """
        frame, attempts = self.frame, list[tuple[tuple[int, bool], ModuleBoundary, Analysis]]()
        for replicate_type in (REPLICATED, INVARIANT):
            boundary = ModuleBoundary(self.rule, self.call.module, self.path, self.call, frame.context.ranks)
            inputs = boundary.convert_inputs(
                self.inputs, self.numbers, frame.values, frame.function.tensors, replicate_type
            )
            analysis = analyze(self.function, self.bound, inputs, self.path, self.rule)
            violations = len(boundary.violations) + _count_violations(analysis)
            attempts.append(((violations, _returns_partial_gradient(analysis)), boundary, analysis))
            if not boundary.replicate_is_ambiguous or not any(attempts[0][0]):
                break
        _, boundary, analysis = min(attempts, key=lambda attempt: attempt[0])
        return boundary, analysis

    def _drop_mutated_inputs(self, results: list[AbstractValue]) -> list[AbstractValue]:
        """Inputs that the module changes in place are unknown afterwards if they pass its boundary: the
        split model changes a copy of them."""
        mutated_inputs, exports = self.frame.context.mutated_inputs, self.function.exports
        for export in mutated_inputs.mutated_across_boundary(
            self.function, self.numbers, self.inputs, self.outputs
        ):
            self.frame.add_violation(MutatedAtBoundary(), ProgramPoint("call", self.call.module))
            results = [UNKNOWN_VALUE if n == export else value for n, value in zip(exports, results)]
        return results

    def _record(self, boundary: ModuleBoundary) -> None:
        """Copy what the boundary found to the caller."""
        frame, analysis = self.frame, self.frame.analysis
        analysis.violations += boundary.violations
        analysis.collectives += boundary.collectives
        analysis.boundary_changes += boundary.changes
        analysis.summed_gradients |= boundary.summed_gradients
        analysis.full_gradients |= boundary.full_gradients
        number_outside = dict(zip(self.function.returned_tensors, self.call.results))
        for event in boundary.collectives:
            if not event.is_input and event.kind == "all_gather" and event.direction == "forward":
                frame.gathered_outputs[number_outside[event.tensor]] = event
        for number, dim in boundary.sliced_inputs.items():
            frame.sliced_inputs.setdefault(number, dim)


def _count_violations(analysis: Analysis) -> int:
    """The violations in a call and in the modules that it calls."""
    if not analysis.has_violations:
        return 0
    return sum(len(each.violations) for each in analysis.distinct_analyses())


def _returns_partial_gradient(analysis: Analysis) -> bool:
    """Whether a result has a partial gradient: then nothing inside needed it partial."""
    return any(value.type is REPLICATED for value in analysis.results)
