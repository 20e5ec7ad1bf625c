"""The proof on one axis: the interpreter follows the model operation by operation, on types alone.

It analyzes a call once for each function, bound module and types of inputs: equal calls share an analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.bind.binding import BoundModule
from planc.ir.graph import Call, Function, Op, SymNumber, TensorInfo
from planc.ir.resolved import Located
from planc.ir.tree import leaves
from planc.proof.accepted import types_behind
from planc.proof.aliasing import may_alias_copy
from planc.proof.interpreter.context import AxisContext
from planc.proof.interpreter.eval_call import eval_call
from planc.proof.interpreter.eval_op import OpResult, check_size_use, eval_op, size_read
from planc.proof.interpreter.frame import Frame
from planc.proof.interpreter.ignored_targets import follow_ignored_targets, input_number_of
from planc.proof.interpreter.views_or_copies import ViewsOrCopies
from planc.proof.redundant_collectives import gather_then_slice, repeated_gathers
from planc.proof.result import UNKNOWN_VALUE, AbstractValue, Analysis, ProgramPoint
from planc.proof.rules.catalog import find_op
from planc.proof.rules.inplace import is_inplace
from planc.proof.rules.operation import Operand, Operation, RankDependent
from planc.proof.rules.registry import OpRow
from planc.proof.rules.views import merges_size_one
from planc.proof.style_assumptions import broken_style_assumption, with_row_numbers
from planc.proof.types import (
    CONSTANT,
    DEFERRED_BIAS,
    INVARIANT,
    REPLICATED,
    UNKNOWN,
    PackedShard,
    Sharded,
    SpmdType,
)
from planc.proof.unproved import AliasOfCopy, BrokenAssumption, GradientFromNothing, Unproved, WriteToView
from planc.proof.violations import Cause


class Interpreter:
    """Follows a model on one axis."""

    def __init__(self, context: AxisContext) -> None:
        self.context = context
        self._cache: dict[Any, Analysis] = {}

    def analyze(
        self,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[AbstractValue],
        path: str,
        rule: Located | None,
    ) -> Analysis:
        """What a module's code does with values of these types, inside of the module's boundary.

        Args:
            function: the code.
            bound: the module.
            inputs: the values of the function's inputs.
            path: the name of the module in the model.
            rule: the module's rule, or that of the nearest module around it.
        """
        copied = tuple([value.copied for value in inputs]) if self.context.tracks_aliasing else ()
        taken = tuple([value.input_number for value in inputs]) if self.context.splits_batch else ()
        key = (id(function), id(bound), tuple([value.type for value in inputs]), copied, taken, id(rule))
        analysis = self._cache.get(key)
        if analysis is None:
            analysis = self._cache[key] = self._run(Frame(self.context, function, bound, inputs, path, rule))
        return analysis

    def _run(self, frame: Frame) -> Analysis:
        function, analysis = frame.function, frame.analysis
        for index, step in enumerate(function.steps):
            if not isinstance(step, Op):
                eval_call(frame, step, self.analyze)
            elif step.name.startswith("number."):
                _use_number(frame, index, step)
                continue
            else:
                _run_op(frame, index, step)
            if frame.views_or_copies is not None:
                _check_write(frame, frame.views_or_copies, index, step)
        if function is self.context.graph.main_function:
            _check_returned_numbers(frame)
        analysis.results = tuple([frame.values[number] for number in function.exports])
        analysis.has_unknown |= any(value.type is UNKNOWN for value in analysis.results)
        analysis.redundant_collectives += repeated_gathers(analysis.collectives)
        analysis.redundant_collectives += gather_then_slice(
            analysis.collectives, frame.gathered_outputs, frame.sliced_inputs
        )
        called = [call.has_violations for _, call in analysis.calls]
        analysis.has_violations = bool(analysis.violations) or any(called)
        return analysis


def _run_op(frame: Frame, index: int, step: Op) -> None:
    """Follow one operation, and store its results in the frame."""
    frame.begin_step(index, step)
    context, analysis = frame.context, frame.analysis
    row = find_op(step.name)
    looks_up = bool(frame.row_attributes) and row is not None and row.looks_up_rows
    call = with_row_numbers(step, frame.row_attributes) if looks_up else step
    arguments = tuple([frame.eval_argument(item) for item in call.arguments])
    keywords = {name: frame.eval_argument(item) for name, item in call.keywords.items()}
    infos = tuple([frame.function.tensors[number] for number in step.results])
    operation = Operation(
        step.name, arguments, keywords, infos, context.ranks, frame.masks_lookup, context.splits_batch
    )
    operands = operation.operands()
    copied = context.tracks_aliasing and may_alias_copy(step, row, frame.values)
    result = _infer(frame, step, row, operation, operands, copied=copied)
    if row is not None and context.splits_batch:
        result = follow_ignored_targets(analysis, row, operation, result)
    if result.cause is not None and result.point is not None:
        result = _settle_violation(frame, operation, result, result.cause, result.point)
    analysis.has_unknown |= UNKNOWN in result.types
    if row is not None and row.uses_rng(operation):
        types = (*(operand.type for operand in operands), *result.types)
        per_rank = any(isinstance(spmd_type, Sharded | PackedShard) for spmd_type in types)
        analysis.rng_uses.add("per rank" if per_rank else "same on all ranks")
    origin = frame.origin_of(operands)
    if copied:
        frame.memory.follow(step, frame.values)
    for number, spmd_type, info in zip(step.results, result.types, infos, strict=True):
        normal = _normalize_type(frame, spmd_type, info, operation.name)
        if row is not None and not row.may_alias and not is_inplace(step):
            frame.fresh.add(number)
        taken = input_number_of(row, operands, info) if context.splits_batch else None
        frame.values[number] = AbstractValue(normal, origin, copied=copied, input_number=taken)
        if row is not None and row.entries == "same" and operands:
            first = operands[0]
            analysis.merges_size_one |= merges_size_one(first.type, first.shape, normal, info.shape)


def _settle_violation(
    frame: Frame, operation: Operation, result: OpResult, cause: Cause, point: ProgramPoint
) -> OpResult:
    """Note a violation. The proof goes on with unknown results, or where the plan accepts it, with what ranks have then."""
    types = types_behind(
        cause, operation.operands(), operation.results, splits_batch=frame.context.splits_batch
    )
    accepted_by = None if types is None else frame.accepting_statement(cause)
    frame.add_violation(cause, point, result.operands, accepted_by, may_be_accepted=types is not None)
    return result if types is None or accepted_by is None else OpResult(types)


def _check_write(frame: Frame, views: ViewsOrCopies, index: int, step: Op | Call) -> None:
    """A write must change nothing that the unsplit model has copied before; all results of the step are unknown else."""
    if isinstance(step, Op):
        is_seen = views.follow_op(index, step, frame.values)
        point = ProgramPoint("operation", step.name)
    else:
        effects = frame.context.memory_effects(step.function)
        called = frame.context.graph.functions[step.function]
        is_seen = views.follow_call(index, step, called, effects, frame.values)
        point = ProgramPoint("call", step.module)
    if is_seen:
        frame.add_violation(WriteToView(), point)
        frame.analysis.has_unknown = True
        for number in step.results:
            frame.values[number] = UNKNOWN_VALUE


def _infer(
    frame: Frame,
    step: Op,
    row: OpRow | None,
    operation: Operation,
    operands: list[Operand],
    *,
    copied: bool,
) -> OpResult:
    """The types of the results, if the operation is one that its module's style expects."""
    broken: Unproved | None = None
    if operation.masks_lookup or any(operand.type is DEFERRED_BIAS for operand in operands):
        assumption = broken_style_assumption(
            frame.function,
            step,
            row,
            lambda weight: frame.operand(weight).type is DEFERRED_BIAS,
            masks_lookup=operation.masks_lookup,
            row_attributes=frame.row_attributes,
            hides_attributes=frame.hides_attributes,
        )
        broken = None if assumption is None else BrokenAssumption(assumption)
    if copied and step.name == "aliased" and not frame.memory.is_one(step, frame.values):
        broken = AliasOfCopy()
    if broken is None:
        return eval_op(operation, operands, frame.rank_dependent, row)
    unknown = [UNKNOWN] * len(operation.results)
    return OpResult(unknown, broken, ProgramPoint("operation", step.name))


def _normalize_type(frame: Frame, spmd_type: SpmdType, info: TensorInfo, operation: str) -> SpmdType:
    """A replicated value without a gradient is a constant; one with a gradient has an operand with one."""
    if spmd_type in (INVARIANT, REPLICATED) and not info.grad:
        return CONSTANT
    if spmd_type is CONSTANT and info.grad:
        frame.add_violation(GradientFromNothing(), ProgramPoint("operation", operation))
        return UNKNOWN
    return spmd_type


def _use_number(frame: Frame, index: int, step: Op) -> None:
    """Follow a use of numbers that is no operation."""
    frame.begin_step(index, step)
    arguments = [
        frame.eval_argument(item) if isinstance(item, SymNumber) else item for item in step.arguments
    ]
    use = check_size_use(step.name, arguments)
    frame.analysis.has_unknown |= use.is_unknown
    if use.cause is not None and use.point is not None:
        may_be = types_behind(use.cause, (), (), splits_batch=frame.context.splits_batch) is not None
        accepted_by = frame.accepting_statement(use.cause) if may_be else None
        frame.add_violation(use.cause, use.point, (), accepted_by, may_be_accepted=may_be)


def _check_returned_numbers(frame: Frame) -> None:
    """Numbers that the model returns besides tensors must be the whole model's."""
    for item in leaves(frame.function.result, SymNumber):
        frame.begin_step()
        number = frame.eval_argument(item)
        if isinstance(number, RankDependent) and not number.is_unknown:
            frame.add_violation(size_read(number), ProgramPoint("result"))
