"""One call of a module while the interpreter follows it: its values, and what it found so far."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from planc.bind.binding import BoundModule
from planc.ir.graph import Function, Op, Slice, SymNumber, Value, WeightRef
from planc.ir.resolved import Located
from planc.ir.tree import map_leaves
from planc.proof.accepted import accepting_statement
from planc.proof.interpreter.context import AxisContext
from planc.proof.interpreter.copied_memory import CopiedMemory
from planc.proof.interpreter.symbolic_numbers import NumberEvaluator, tensors_with_sizes_read
from planc.proof.interpreter.views_or_copies import ViewsOrCopies
from planc.proof.param_types import FOLLOWS_INPUT
from planc.proof.result import (
    UNKNOWN_VALUE,
    AbstractValue,
    Analysis,
    CollectiveEvent,
    Origin,
    ProgramPoint,
    Violation,
    join_module_path,
)
from planc.proof.rules.operation import Operand, RankDependent
from planc.proof.size_views import sizes_of_weights
from planc.proof.source_expression import source_expression
from planc.proof.types import (
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    UNKNOWN,
    PackedShard,
    Sharded,
    SpmdType,
    sharded_dim,
)
from planc.proof.unproved import ShardedBufferBelow, ShardedBufferWritten
from planc.proof.violations import Cause, LiteralSize, SizeRead


class Frame:
    """One call of a module.

    Args:
        context: the plan, the model and the axis.
        function: the code of the module.
        bound: the module.
        inputs: the values of the function's inputs.
        path: the name of the module in the model.
        rule: the module's rule, or that of the nearest module around it.
    """

    def __init__(
        self,
        context: AxisContext,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[AbstractValue],
        path: str,
        rule: Located | None,
    ) -> None:
        self.context, self.function, self.bound, self.path = context, function, bound, path
        self.governing_rule = rule
        self.own_rule = context.param_types.rule_of(bound)
        self.masks_lookup = context.param_types.masks_lookup(bound)
        self.row_attributes, self.hides_attributes = context.param_types.row_attributes(bound)
        unset = [UNKNOWN_VALUE] * (len(function.tensors) - len(inputs))
        self.values: list[AbstractValue] = [*inputs, *unset]
        """The function's tensors, by number."""
        self.analysis = Analysis()
        self.fresh: set[int] = set()
        """Tensors that an operation of this code has made in memory of their own, by number."""
        self.memory = CopiedMemory()
        self.views_or_copies = ViewsOrCopies(function, context.ranks) if context.tracks_aliasing else None
        self.gathered_outputs: dict[int, CollectiveEvent] = {}
        """Tensors that a module's output gathers, by number."""
        self.sliced_inputs: dict[int, int] = {}
        """Tensors that a module's input slices, and the dim."""
        self.follows_input_type = _type_that_follows(inputs)
        self._evaluator = NumberEvaluator(self._sized_operand, self.local_attribute, context.ranks)
        self.source_lines = context.source_lines(function)
        self._step: tuple[int, Op | None] = 0, None
        """The current step and its number, where it is an operation."""
        self._numbers: list[SymNumber] = []
        """The numbers that the arguments of the current step are computed from."""
        self.rank_dependent: list[RankDependent] = []
        """Those of them that differ between ranks."""

    # ---- arguments ---------------------------------------------------------------

    def begin_step(self, index: int = -1, step: Op | None = None) -> None:
        """Forget the numbers of the step before.

        Args:
            index: the number of the step.
            step: the operation; None: what follows is none.
        """
        self._step = index, step
        self._numbers, self.rank_dependent = [], []

    def eval_argument(self, item: Any) -> Any:
        """An argument of the current step as rules see it."""
        return map_leaves(item, (Value, WeightRef, SymNumber), self._eval_leaf, into=(tuple, Slice))

    def _eval_leaf(self, item: Value | WeightRef | SymNumber) -> Any:
        if not isinstance(item, SymNumber):
            return self.operand(item)
        number = self._evaluator.evaluate(item)
        self._numbers.append(item)
        if isinstance(number, RankDependent):
            self.rank_dependent.append(number)
        return number

    def operand(self, item: Value | WeightRef) -> Operand:
        """A tensor with its type."""
        if isinstance(item, WeightRef):
            return self.param_operand(item.name)
        value, info = self.values[item.number], self.function.tensors[item.number]
        return Operand(
            value.type,
            info.shape,
            info.grad,
            info.dtype,
            value.origin,
            value.input_number,
            is_fresh=item.number in self.fresh,
        )

    def param_operand(self, name: str) -> Operand:
        """A parameter or a buffer, by its name in this module's code."""
        module, _, own_name = name.removeprefix("/").rpartition(".")
        bound = self.context.find_module(f"/{module}" if name.startswith("/") else module, self.bound)
        if bound is None:
            return Operand(UNKNOWN, ())
        info = bound.module.parameters.get(own_name)
        if info is None:
            buffer = bound.module.buffers.get(own_name)
            if buffer is None:
                return Operand(UNKNOWN, ())
            return Operand(
                self._buffer_type(bound, own_name), buffer.shape, False, buffer.dtype, self._origin_of(bound)
            )
        spmd_type = self.context.param_types.types_of(bound)[own_name]
        rule = self.context.param_types.rule_of(bound)
        if spmd_type is FOLLOWS_INPUT:
            spmd_type = self.follows_input_type if bound is self.bound else REPLICATED
        if spmd_type is REPLICATED and rule is not None and info.grad:
            self.analysis.summed_gradients[name] = (info, rule)
        elif spmd_type is INVARIANT and info.grad:
            self.analysis.full_gradients[name] = rule
        if spmd_type in (INVARIANT, REPLICATED) and not info.grad:
            spmd_type = CONSTANT
        origin = Origin(join_module_path(self.path, module), rule)
        return Operand(spmd_type, info.shape, info.grad, info.dtype, origin)

    def _buffer_type(self, bound: BoundModule, name: str) -> SpmdType:
        """The type of a buffer that this module's code reads: a slice while the owner's own code runs."""
        spmd_type = self.context.param_types.buffer_type(bound, name)
        if sharded_dim(spmd_type) is None:
            return spmd_type
        if bound is not self.bound:
            if any(child is self.bound for _, child in bound.named_modules()):
                self.add_violation(ShardedBufferBelow(), ProgramPoint("buffer", name))
                return UNKNOWN
            return CONSTANT
        if self.context.writes_memory(self.function):
            self.add_violation(ShardedBufferWritten(), ProgramPoint("buffer", name))
            return UNKNOWN
        return spmd_type

    def _origin_of(self, bound: BoundModule) -> Origin | None:
        return Origin(self.path, self.own_rule) if bound is self.bound else None

    def _sized_operand(self, item: Value | WeightRef, reader: str | None) -> Operand:
        """A tensor whose size the code reads. Reading a size gives the tensor no gradient."""
        if not isinstance(item, WeightRef):
            return self.operand(item)
        module, _, own_name = item.name.removeprefix("/").rpartition(".")
        bound = self.context.find_module(f"/{module}" if item.name.startswith("/") else module, self.bound)
        if bound is None or (reader is not None and self.context.find_module(reader, self.bound) is None):
            return Operand(UNKNOWN, ())
        info = bound.module.parameters.get(own_name) or bound.module.buffers.get(own_name)
        if info is None:
            return Operand(UNKNOWN, ())
        if own_name in bound.module.buffers and own_name not in bound.module.parameters:
            return Operand(self._buffer_type(bound, own_name), info.shape, False, info.dtype)
        spmd_type = self.context.param_types.types_of(bound).get(own_name, CONSTANT)
        if sharded_dim(spmd_type) is not None and not self.context.size_views.is_local(
            join_module_path(self.path, reader or ""), join_module_path(self.path, item.name)
        ):
            spmd_type = CONSTANT  # of a DTensor, the code reads the global size
        return Operand(spmd_type, info.shape, info.grad, info.dtype)

    def local_attribute(self, name: str, global_value: float) -> int | float | None:
        """What a rank has for a number that the code reads off a module; `module:name` is another module's, and so
        is `child.name`. None: ranks have different numbers."""
        module, colon, own_name = name.rpartition(":")
        bound = self.context.binding.root.find_submodule(module.removeprefix("/")) if colon else self.bound
        if bound is None:
            return global_value
        owner, own_name = _owner_of_attribute(bound, own_name if colon else name)
        if owner is self.bound and own_name in self.row_attributes:
            return None  # each rank has another number
        return self.context.param_types.local_attribute(owner, own_name, global_value)

    # ---- violations --------------------------------------------------------------

    def accepting_statement(self, cause: Cause) -> int | None:
        """The number of the statement that accepts a violation of this module's own code."""
        resolved, splits_batch = self.context.binding.resolved, self.context.splits_batch
        return accepting_statement(resolved, self.bound, cause.law, splits_batch=splits_batch)

    def add_violation(
        self,
        cause: Cause,
        point: ProgramPoint,
        operands: Sequence[Operand] = (),
        accepted_by: int | None = None,
        *,
        may_be_accepted: bool = False,
    ) -> None:
        """Note a violation of this module's own code."""
        origin = self.origin_of([o for o in operands if o.type is PARTIAL] or operands)
        rules = [o.origin.rule for o in operands if o.origin is not None and o.origin.rule is not None]
        other = next((rule for rule in rules if origin is not None and rule is not origin.rule), None)
        line, expression = self._code_of(cause)
        found = self.analysis.violations if accepted_by is None else self.analysis.accepted
        found.append(
            Violation(
                cause,
                point,
                self.own_rule,
                (),
                origin,
                self.governing_rule,
                "",
                other,
                line=line,
                expression=expression,
                accepted_by=accepted_by,
                may_be_accepted=may_be_accepted,
            )
        )

    def _code_of(self, cause: Cause) -> tuple[str, str]:
        """The line of the model's code that the current step comes from, and there the expression of the number that breaks
        a law; "" where the graph does not say."""
        index, step = self._step
        line = self.source_lines.get(index, "") if step is not None else ""
        if not line or step is None or not isinstance(cause, SizeRead | LiteralSize):
            return line, ""

        def is_meant(item: Any) -> bool:
            found = self._evaluator.evaluate(item) if isinstance(item, SymNumber) else item
            if isinstance(cause, LiteralSize):
                return type(found) is int and found == cause.literal and found != cause.local_size
            both = (found.global_value, found.local_value) if isinstance(found, RankDependent) else ()
            return both == (cause.global_value, cause.local_value)

        return line, source_expression(line, step.arguments, is_meant)

    def origin_of(self, operands: Sequence[Operand]) -> Origin | None:
        """Where an operand that differs between ranks got its type, or a tensor whose size this step reads."""
        for operand in operands:
            if operand.type not in SAME_ON_ALL_RANKS and operand.origin is not None:
                return operand.origin  # type: ignore[no-any-return]
        if not self._numbers:
            return None
        values = [self.values[number] for number in tensors_with_sizes_read(self._numbers)]
        of_weights = map(self._origin_of_weight, sizes_of_weights(tuple(self._numbers)))
        found = (value.origin for value in values if value.type not in SAME_ON_ALL_RANKS)
        return next((origin for origin in chain(found, of_weights) if origin is not None), None)

    def _origin_of_weight(self, number: SymNumber) -> Origin | None:
        """The module of a split parameter whose size the code reads, and its rule."""
        module, _, own_name = number.arguments[0].name.removeprefix("/").rpartition(".")
        path = join_module_path(self.path, number.arguments[0].name).rpartition(".")[0]
        bound = self.context.binding.root.find_submodule(path)
        if not module or bound is None:
            return None
        spmd_type = self.context.param_types.types_of(bound).get(own_name, CONSTANT)
        rule = self.context.param_types.rule_of(bound)
        return None if sharded_dim(spmd_type) is None else Origin(path, rule)


def _owner_of_attribute(bound: BoundModule, name: str) -> tuple[BoundModule, str]:
    """The module whose attribute a dotted name means, and the name there: `attn.num_heads` is that of a child."""
    first, dot, rest = name.partition(".")
    while dot and first in bound.children:
        bound, name = bound.children[first], rest
        first, dot, rest = name.partition(".")
    return bound, name


def _type_that_follows(inputs: Sequence[AbstractValue]) -> SpmdType:
    """The type of a parameter whose gradient is partial where the module's inputs differ between ranks."""
    differ = any(
        isinstance(value.type, Sharded | PackedShard) or value.type in (REPLICATED, PARTIAL)
        for value in inputs
    )
    return REPLICATED if differ else INVARIANT
