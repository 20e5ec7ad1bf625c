"""The proof on one axis: a model is followed operation by operation, on types alone.

A call is judged once for each function, bound module and types of inputs: what is equal is
proved once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.ir.graph import Function, Number, Op, Slice, TensorInfo, Value
from planc.ir.graph import Weight as WeightName
from planc.ir.settled import Placed
from planc.layouts.calling import invoke
from planc.layouts.chance import draws
from planc.layouts.judging import judged, size_read, watch
from planc.layouts.memory import PARTED, is_copied, is_shared
from planc.layouts.numbers import Reader, read_off
from planc.layouts.operation import Differs, Operand, Operation
from planc.layouts.ops import load
from planc.layouts.outcome import Fault, Held, Move, Origin, Outcome, joined
from planc.layouts.straight import misfit as misfit_of
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    LATE,
    PARTIAL,
    REPLICATED,
    UNKNOWN,
    WHOLE,
    Packed,
    Split,
    Type,
)
from planc.layouts.waste import repeated, undone
from planc.layouts.weights import ADAPTING, Weights
from planc.layouts.written import Written
from planc.resolve.bind import Binding, Bound

_UNKNOWN = Held(UNKNOWN)


class Prover:
    """Follows a model on one axis."""

    def __init__(self, binding: Binding, block: int | None, ranks: int) -> None:
        self.binding, self.graph, self.ranks = binding, binding.graph, ranks
        self.weights = Weights(binding, block, ranks)
        self.rules = load()
        self.written = Written(binding.graph)
        self.shares = is_shared(binding.graph)
        """Whether it matters what memory a value lies in."""
        self.known: dict[Any, Outcome] = {}

    def call(
        self, function: Function, bound: Bound, inputs: Sequence[Held], path: str, rule: Placed | None
    ) -> Outcome:
        """What a module gives, computed on the types of its inputs, inside of its boundary."""
        copied = tuple([held.copied for held in inputs]) if self.shares else ()
        key = (id(function), id(bound), tuple([held.type for held in inputs]), copied, id(rule))
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = Frame(self, function, bound, inputs, path, rule).run()
        return found


class Frame:
    """One module call while it is followed."""

    def __init__(
        self,
        prover: Prover,
        function: Function,
        bound: Bound,
        inputs: Sequence[Held],
        path: str,
        rule: Placed | None,
    ) -> None:
        self.prover, self.function, self.bound, self.path = prover, function, bound, path
        self.rule = rule
        """The rule that governs: the module's own, or that of the nearest module around it."""
        self.own = prover.weights.rule(bound)
        self.held: list[Held] = [*inputs, *([_UNKNOWN] * (len(function.tensors) - len(inputs)))]
        self.out = Outcome()
        self.step: Op | None = None
        """The operation that is judged."""
        self.gathered: dict[int, Move] = {}
        self.cut: dict[int, int] = {}
        apart = any(isinstance(h.type, Split | Packed) or h.type in (REPLICATED, PARTIAL) for h in inputs)
        self.adapted = REPLICATED if apart else INVARIANT
        self.reader = Reader(self.operand, self.attribute, prover.ranks)

    def run(self) -> Outcome:
        for step in self.function.steps:
            if isinstance(step, Op):
                self.operate(step)
            else:
                invoke(self, step)
        if self.function is self.prover.graph.main:
            self.given(self.function.result)
        self.out.blind = self.out.blind or any(self.held[n].type is UNKNOWN for n in self.function.exports)
        self.out.results = tuple([self.held[number] for number in self.function.exports])
        self.out.wastes += [*repeated(self.out.moves), *undone(self.out.moves, self.gathered, self.cut)]
        self.out.flawed = bool(self.out.faults) or any(outcome.flawed for _, outcome in self.out.calls)
        return self.out

    # ---- operations --------------------------------------------------------------

    def operate(self, step: Op) -> None:
        self.step = step
        if step.name.startswith("number."):
            watch(self, step)
            return
        arguments = tuple([self.argument(item) for item in step.arguments])
        keywords = {name: self.argument(item) for name, item in step.keywords.items()}
        infos = tuple([self.function.tensors[number] for number in step.results])
        style = self.own.value.style if self.own is not None else None
        operation = Operation(step.name, arguments, keywords, infos, self.prover.ranks, style)
        operands = operation.operands()
        misfit = misfit_of(self.function, step, style, lambda weight: self.operand(weight).type is LATE)
        copied = self.prover.shares and is_copied(step, self.held, self.prover.rules)
        if copied and step.name == "aliased":
            misfit = PARTED
        if misfit is None:
            kinds = judged(self, operation, operands)
        else:
            self.fault("no-rule", step.name, misfit, "")
            kinds = [UNKNOWN] * len(infos)
        origin = self.source(operands)
        self.out.blind = self.out.blind or UNKNOWN in kinds
        if draws(operation):
            apart = any(isinstance(operand.type, Split | Packed) for operand in operands)
            self.out.draws.add("apart" if apart else "alike")
        for number, kind, info in zip(step.results, kinds, infos, strict=True):
            self.held[number] = Held(self.settled(kind, info, operation), origin, copied=copied)

    def given(self, item: Any) -> None:
        """Numbers that the model gives beside tensors."""
        number = self.argument(item) if isinstance(item, Number) else None
        if isinstance(number, Differs) and (number.local is not None or number.text):
            bad = size_read(number)
            self.fault(bad.law, "the model's result", bad.got, bad.needed)
        for part in item.values() if isinstance(item, Mapping) else item if isinstance(item, tuple) else ():
            self.given(part)

    def settled(self, kind: Type, info: TensorInfo, operation: Operation) -> Type:
        """A whole value without a gradient is a constant; one with a gradient comes from somewhere."""
        if kind in (INVARIANT, REPLICATED) and not info.grad:
            return CONSTANT
        if kind is CONSTANT and info.grad:
            self.fault("no-rule", operation.name, "its result has a gradient, its operands have none", "")
            return UNKNOWN
        return kind

    # ---- arguments ---------------------------------------------------------------

    def argument(self, item: Any) -> Any:
        """An argument as rules see it."""
        if isinstance(item, Value | WeightName):
            return self.operand(item)
        if isinstance(item, Number):
            return self.reader.number(item)
        if isinstance(item, tuple):
            return tuple([self.argument(part) for part in item])
        if isinstance(item, Slice):
            return Slice(self.argument(item.start), self.argument(item.stop), self.argument(item.step))
        return item

    def operand(self, item: Value | WeightName) -> Operand:
        """A tensor with its type."""
        if isinstance(item, Value):
            held, info = self.held[item.number], self.function.tensors[item.number]
            return Operand(held.type, info.shape, info.grad, info.dtype, held.origin)
        return self.weight(item.name)

    def weight(self, name: str) -> Operand:
        """A parameter or a buffer, by its name here."""
        above, _, own = name.removeprefix("/").rpartition(".")
        bound = (self.prover.binding.root if name.startswith("/") else self.bound).below(above)
        info = bound.module.parameters.get(own) if bound else None
        if bound is None or info is None:
            info = bound.module.buffers.get(own) if bound else None
            if info is None:
                return Operand(UNKNOWN, ())
            return Operand(CONSTANT, info.shape, False, info.dtype)
        kind = self.prover.weights.of(bound)[own]
        placed = self.prover.weights.rule(bound)
        if kind is ADAPTING:
            kind = self.adapted if bound is self.bound else REPLICATED
        if kind is REPLICATED and placed is not None and info.grad:
            self.out.sums[name] = (info, placed)
        elif kind is INVARIANT and info.grad:
            self.out.whole[name] = placed
        if kind in (INVARIANT, REPLICATED) and not info.grad:
            kind = CONSTANT
        return Operand(kind, info.shape, info.grad, info.dtype, Origin(joined(self.path, above), placed))

    def attribute(self, name: str, whole: float) -> int | float:
        """What a rank has for a number that the code reads off a module."""
        above, colon, own = name.rpartition(":")
        bound = self.prover.binding.root.below(above.removeprefix("/")) if colon else self.bound
        return whole if bound is None else self.prover.weights.attribute(bound, own if colon else name, whole)

    # ---- faults ------------------------------------------------------------------

    def fault(
        self, law: str, operation: str, got: str, needed: str, operands: Sequence[Operand] = ()
    ) -> None:
        origin = self.source([o for o in operands if o.type is PARTIAL] or operands)
        given = [o.origin.rule for o in operands if o.origin is not None and o.origin.rule is not None]
        beside = next((rule for rule in given if origin is not None and rule is not origin.rule), None)
        said = (law, operation, got, needed, self.own, None, origin, self.rule, "", beside)
        self.out.faults.append(Fault(*said))

    def source(self, operands: Sequence[Operand]) -> Origin | None:
        """What gave an operand of this step a type that is not whole, or a tensor whose size it reads."""
        found = next((o.origin for o in operands if o.type not in WHOLE and o.origin), None)
        if found is None and self.step is not None:
            step, held = self.step, self.held
            values = read_off((step.arguments, *step.keywords.values()))
            found = next((held[v.number].origin for v in values if held[v.number].type not in WHOLE), None)
        return found
