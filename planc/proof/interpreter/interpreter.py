"""The proof on one axis: a model is followed operation by operation, on types alone.

A call is judged once for each function, bound module and types of inputs: what is equal is
proved once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Function, Op, Slice, SymNumber, TensorInfo, Value
from planc.ir.graph import WeightRef as WeightName
from planc.ir.resolved import Located
from planc.proof.aliasing import ALIAS_BROKEN, has_live_aliases, may_alias_copy
from planc.proof.interpreter.eval_call import eval_call
from planc.proof.interpreter.eval_op import check_size_use, eval_op, size_read_violation
from planc.proof.interpreter.mutated_inputs import MutatedInputs
from planc.proof.interpreter.symbolic_numbers import Reader, read_off
from planc.proof.param_types import FOLLOWS_INPUT, ParamTypes
from planc.proof.redundant_collectives import gather_then_slice, repeated_gathers
from planc.proof.result import (
    AbstractValue,
    Analysis,
    CollectiveEvent,
    Origin,
    Violation,
    join_module_path,
)
from planc.proof.rules.catalog import find_op
from planc.proof.rules.operation import Operand, Operation, RankDependent
from planc.proof.style_assumptions import broken_style_assumption
from planc.proof.types import (
    CONSTANT,
    DEFERRED_BIAS,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    UNKNOWN,
    PackedShard,
    Sharded,
    SpmdType,
)

_UNKNOWN = AbstractValue(UNKNOWN)


class Interpreter:
    """Follows a model on one axis."""

    def __init__(self, binding: Binding, block: int | None, ranks: int) -> None:
        self.binding, self.graph, self.ranks = binding, binding.graph, ranks
        self.param_types = ParamTypes(binding, block, ranks)
        self.mutated_inputs = MutatedInputs(binding.graph)
        self.tracks_aliasing = has_live_aliases(binding.graph)
        """Whether it matters what memory a value lies in."""
        self.cache: dict[Any, Analysis] = {}

    def analyze(
        self,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[AbstractValue],
        path: str,
        rule: Located | None,
    ) -> Analysis:
        """What a module gives, computed on the types of its inputs, inside of its boundary."""
        copied = tuple([held.copied for held in inputs]) if self.tracks_aliasing else ()
        key = (id(function), id(bound), tuple([held.type for held in inputs]), copied, id(rule))
        found = self.cache.get(key)
        if found is None:
            found = self.cache[key] = Frame(self, function, bound, inputs, path, rule).run()
        return found


class Frame:
    """One module call while it is followed."""

    def __init__(
        self,
        prover: Interpreter,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[AbstractValue],
        path: str,
        rule: Located | None,
    ) -> None:
        self.interpreter, self.function, self.bound, self.path = prover, function, bound, path
        self.governing_rule = rule
        """The rule that governs: the module's own, or that of the nearest module around it."""
        self.own_rule = prover.param_types.rule_of(bound)
        self.values: list[AbstractValue] = [*inputs, *([_UNKNOWN] * (len(function.tensors) - len(inputs)))]
        self.analysis = Analysis()
        self.current_op: Op | None = None
        """The operation that is judged."""
        self.gathered_outputs: dict[int, CollectiveEvent] = {}
        self.sliced_inputs: dict[int, int] = {}
        apart = any(
            isinstance(h.type, Sharded | PackedShard) or h.type in (REPLICATED, PARTIAL) for h in inputs
        )
        self.follows_input_type = REPLICATED if apart else INVARIANT
        self.numbers = Reader(self.operand, self.local_attribute, prover.ranks)

    def run(self) -> Analysis:
        for step in self.function.steps:
            if isinstance(step, Op):
                self.run_op(step)
            else:
                eval_call(self, step)
        if self.function is self.interpreter.graph.main_function:
            self.check_returned_numbers(self.function.result)
        self.analysis.has_unknown = self.analysis.has_unknown or any(
            self.values[n].type is UNKNOWN for n in self.function.exports
        )
        self.analysis.results = tuple([self.values[number] for number in self.function.exports])
        self.analysis.redundant_collectives += [
            *repeated_gathers(self.analysis.collectives),
            *gather_then_slice(self.analysis.collectives, self.gathered_outputs, self.sliced_inputs),
        ]
        self.analysis.has_violations = bool(self.analysis.violations) or any(
            outcome.has_violations for _, outcome in self.analysis.calls
        )
        return self.analysis

    # ---- operations --------------------------------------------------------------

    def run_op(self, step: Op) -> None:
        self.current_op = step
        if step.name.startswith("number."):
            check_size_use(self, step)
            return
        arguments = tuple([self.eval_argument(item) for item in step.arguments])
        keywords = {name: self.eval_argument(item) for name, item in step.keywords.items()}
        infos = tuple([self.function.tensors[number] for number in step.results])
        style = self.own_rule.value.style if self.own_rule is not None else None
        operation = Operation(step.name, arguments, keywords, infos, self.interpreter.ranks, style)
        operands = operation.operands()
        row = find_op(step.name)
        misfit = broken_style_assumption(
            self.function, step, row, style, lambda weight: self.operand(weight).type is DEFERRED_BIAS
        )
        copied = self.interpreter.tracks_aliasing and may_alias_copy(step, row, self.values)
        if copied and step.name == "aliased":
            misfit = ALIAS_BROKEN
        if misfit is None:
            kinds = eval_op(self, operation, operands)
        else:
            self.add_violation("no-rule", step.name, misfit, "")
            kinds = [UNKNOWN] * len(infos)
        origin = self.origin_of(operands)
        self.analysis.has_unknown = self.analysis.has_unknown or UNKNOWN in kinds
        if row is not None and row.uses_rng(operation):
            apart = any(isinstance(operand.type, Sharded | PackedShard) for operand in operands)
            self.analysis.rng_uses.add("apart" if apart else "alike")
        for number, kind, info in zip(step.results, kinds, infos, strict=True):
            self.values[number] = AbstractValue(
                self.normalize_type(kind, info, operation), origin, copied=copied
            )

    def check_returned_numbers(self, item: Any) -> None:
        """Numbers that the model gives beside tensors."""
        number = self.eval_argument(item) if isinstance(item, SymNumber) else None
        if isinstance(number, RankDependent) and (number.local_value is not None or number.description):
            bad = size_read_violation(number)
            self.add_violation(bad.law, "the model's result", bad.got, bad.needed)
        for part in item.values() if isinstance(item, Mapping) else item if isinstance(item, tuple) else ():
            self.check_returned_numbers(part)

    def normalize_type(self, kind: SpmdType, info: TensorInfo, operation: Operation) -> SpmdType:
        """A whole value without a gradient is a constant; one with a gradient comes from somewhere."""
        if kind in (INVARIANT, REPLICATED) and not info.grad:
            return CONSTANT
        if kind is CONSTANT and info.grad:
            self.add_violation(
                "no-rule", operation.name, "its result has a gradient, its operands have none", ""
            )
            return UNKNOWN
        return kind

    # ---- arguments ---------------------------------------------------------------

    def eval_argument(self, item: Any) -> Any:
        """An argument as rules see it."""
        if isinstance(item, Value | WeightName):
            return self.operand(item)
        if isinstance(item, SymNumber):
            return self.numbers.number(item)
        if isinstance(item, tuple):
            return tuple([self.eval_argument(part) for part in item])
        if isinstance(item, Slice):
            return Slice(
                self.eval_argument(item.start), self.eval_argument(item.stop), self.eval_argument(item.step)
            )
        return item

    def operand(self, item: Value | WeightName) -> Operand:
        """A tensor with its type."""
        if isinstance(item, Value):
            held, info = self.values[item.number], self.function.tensors[item.number]
            return Operand(held.type, info.shape, info.grad, info.dtype, held.origin)
        return self.param_operand(item.name)

    def param_operand(self, name: str) -> Operand:
        """A parameter or a buffer, by its name here."""
        above, _, own = name.removeprefix("/").rpartition(".")
        bound = (self.interpreter.binding.root if name.startswith("/") else self.bound).find_submodule(above)
        info = bound.module.parameters.get(own) if bound else None
        if bound is None or info is None:
            info = bound.module.buffers.get(own) if bound else None
            if info is None:
                return Operand(UNKNOWN, ())
            return Operand(CONSTANT, info.shape, False, info.dtype)
        kind = self.interpreter.param_types.types_of(bound)[own]
        placed = self.interpreter.param_types.rule_of(bound)
        if kind is FOLLOWS_INPUT:
            kind = self.follows_input_type if bound is self.bound else REPLICATED
        if kind is REPLICATED and placed is not None and info.grad:
            self.analysis.summed_gradients[name] = (info, placed)
        elif kind is INVARIANT and info.grad:
            self.analysis.full_gradients[name] = placed
        if kind in (INVARIANT, REPLICATED) and not info.grad:
            kind = CONSTANT
        return Operand(
            kind, info.shape, info.grad, info.dtype, Origin(join_module_path(self.path, above), placed)
        )

    def local_attribute(self, name: str, global_value: float) -> int | float:
        """What a rank has for a number that the code reads off a module."""
        above, colon, own = name.rpartition(":")
        bound = self.interpreter.binding.root.find_submodule(above.removeprefix("/")) if colon else self.bound
        return (
            global_value
            if bound is None
            else self.interpreter.param_types.local_attribute(bound, own if colon else name, global_value)
        )

    # ---- faults ------------------------------------------------------------------

    def add_violation(
        self, law: str, operation: str, got: str, needed: str, operands: Sequence[Operand] = ()
    ) -> None:
        origin = self.origin_of([o for o in operands if o.type is PARTIAL] or operands)
        given = [o.origin.rule for o in operands if o.origin is not None and o.origin.rule is not None]
        beside = next((rule for rule in given if origin is not None and rule is not origin.rule), None)
        said = (law, operation, got, needed, self.own_rule, None, origin, self.governing_rule, "", beside)
        self.analysis.violations.append(Violation(*said))

    def origin_of(self, operands: Sequence[Operand]) -> Origin | None:
        """What gave an operand of this step a type that is not whole, or a tensor whose size it reads."""
        found = next((o.origin for o in operands if o.type not in SAME_ON_ALL_RANKS and o.origin), None)
        if found is None and self.current_op is not None:
            step, held = self.current_op, self.values
            values = read_off((step.arguments, *step.keywords.values()))
            found = next(
                (held[v.number].origin for v in values if held[v.number].type not in SAME_ON_ALL_RANKS), None
            )
        return found
