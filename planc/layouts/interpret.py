"""The proof on one axis: a model is followed operation by operation, on types alone.

A call is judged once for each function, bound module and types of inputs: what is equal is
proved once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.ir.graph import Call, Function, Number, Op, Slice, TensorInfo, Value
from planc.ir.graph import Weight as WeightName
from planc.ir.settled import Placed
from planc.layouts.chance import draws
from planc.layouts.gate import Gate
from planc.layouts.numbers import COMPARISONS, Reader, read_off
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused, differing
from planc.layouts.ops import load
from planc.layouts.outcome import Fault, Held, Move, Origin, Outcome, joined
from planc.layouts.ports import entering, leaving
from planc.layouts.straight import misfit as misfit_of
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    LATE,
    PARTIAL,
    REPLICATED,
    UNKNOWN,
    WHOLE,
    Counted,
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
        self.known: dict[Any, Outcome] = {}

    def call(
        self, function: Function, bound: Bound, inputs: Sequence[Held], path: str, rule: Placed | None
    ) -> Outcome:
        """What a module gives, computed on the types of its inputs, inside of its boundary."""
        key = (id(function), id(bound), tuple([held.type for held in inputs]), id(rule))
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
                self.invoke(step)
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
            self.watch(step)
            return
        arguments = tuple([self.argument(item) for item in step.arguments])
        keywords = {name: self.argument(item) for name, item in step.keywords.items()}
        infos = tuple([self.function.tensors[number] for number in step.results])
        style = self.own.value.style if self.own is not None else None
        operation = Operation(step.name, arguments, keywords, infos, self.prover.ranks, style)
        operands = operation.operands()
        misfit = misfit_of(self.function, step, style, lambda weight: self.operand(weight).type is LATE)
        if misfit is None:
            kinds = self.judged(operation, operands)
        else:
            self.fault("no-rule", step.name, misfit, "")
            kinds = [UNKNOWN] * len(infos)
        origin = self.source(operands)
        self.out.blind = self.out.blind or UNKNOWN in kinds
        if draws(operation):
            apart = any(isinstance(operand.type, Split | Packed) for operand in operands)
            self.out.draws.add("apart" if apart else "alike")
        for number, kind, info in zip(step.results, kinds, infos, strict=True):
            self.held[number] = Held(self.settled(kind, info, operation), origin)

    def given(self, item: Any) -> None:
        """Numbers that the model gives beside tensors."""
        number = self.argument(item) if isinstance(item, Number) else None
        if isinstance(number, Differs) and (number.local is not None or number.text):
            bad = _size_read(number)
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

    def judged(self, operation: Operation, operands: list[Operand]) -> Sequence[Type]:
        """The types of the results, by the rule of the operation."""
        nothing = [UNKNOWN] * len(operation.results)
        if any(operand.type is UNKNOWN for operand in operands):
            return nothing
        rule = self.prover.rules.get(operation.name)
        if rule is None:
            if (
                operands
                and all(operand.type is CONSTANT for operand in operands)
                and not any(differing((operation.arguments, *operation.keywords.values())))
            ):
                return [CONSTANT] * len(operation.results)  # as masks and positions are made
            self.fault("no-rule", operation.name, "planc has no rule for this operation", "")
            return nothing
        unlike = list(differing((operation.arguments, *operation.keywords.values())))
        if any(number.local is None and not number.text for number in unlike):
            return nothing
        try:
            if operation.name not in _OF_POSITIONS:
                _refuse_positions(operands)
            if unlike and (not rule.sizes or any(number.local is None for number in unlike)):
                raise _size_read(unlike[0])
            kinds = rule.judge(operation)
        except Refused as bad:
            self.fault(bad.law, _called(operation), bad.got, bad.needed, operands)
            return nothing
        except NotKnown as bad:
            self.fault("no-rule", _called(operation), str(bad), "", operands)
            return nothing
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as bad:
            # A graph may be written by hand, or by an enemy: what no rule can read is not judged.
            self.fault("no-rule", operation.name, f"its arguments cannot be read ({type(bad).__name__})", "")
            return nothing
        if isinstance(kinds, Type):
            return [kinds] * len(operation.results)
        return kinds if len(kinds) == len(operation.results) else nothing

    def watch(self, step: Op) -> None:
        """A use of a number that is no operation: a branch, or one that cannot be followed."""
        numbers = [self.argument(item) for item in step.arguments if isinstance(item, Number)]
        unlike = [number for number in numbers if isinstance(number, Differs)]
        if any(number.local is None and not number.text for number in unlike):
            self.out.blind = True
            return
        if not unlike:
            return
        if step.name == "number.compare" and all(number.local is not None for number in unlike):
            compare = COMPARISONS.get(str(step.arguments[0]))
            sides = [self.argument(item) for item in step.arguments[1:]]
            whole, local = (
                [getattr(side, name) if isinstance(side, Differs) else side for side in sides]
                for name in ("whole", "local")
            )
            if compare is not None and compare(*whole) == compare(*local):
                return
            bad = _size_read(unlike[0])
            self.fault(bad.law, "a branch of the model's code", bad.got, bad.needed)
            return
        self.fault("no-rule", "a number of the model's code",
                   f"{unlike[0].text} is turned into a plain number, and what becomes of it is out of sight", "")  # fmt: skip

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

    # ---- modules -----------------------------------------------------------------

    def invoke(self, step: Call) -> None:
        """Follow the call of a module through its boundary."""
        self.step = None
        prover = self.prover
        bound = (prover.binding.root if step.module.startswith("/") else self.bound).below(
            step.module.removeprefix("/")
        )
        function = prover.graph.functions[step.function]
        if bound is None:
            self.fault("no-rule", step.module, "the graph calls a module that it does not have", "")
            return
        numbers = handed(step)
        path = joined(self.path, step.module)
        placed = prover.weights.rule(bound)
        if placed is None:
            outcome = prover.call(function, bound, [self.held[n] for n in numbers], path, self.rule)
            self.out.calls.append((step.module, outcome))
            self.receive(step, numbers, outcome.results)
            return
        self.out.calls.append(self.cross(step, function, bound, numbers, placed, path))

    def cross(
        self, step: Call, function: Function, bound: Bound, numbers: Sequence[int], placed: Placed, path: str
    ) -> tuple[str, Outcome]:
        """Follow the call of a module that has a rule, and with it a boundary."""
        crossings = list(entering(placed.value, bound.module, step))
        exits = list(leaving(placed.value, function))
        tries: list[tuple[tuple[int, bool], Gate, Outcome]] = []
        for whole in (REPLICATED, INVARIANT):
            gate = Gate(self, placed, step.module, step)
            inputs = gate.enter(crossings, numbers, whole)
            outcome = self.prover.call(function, bound, inputs, path, placed)
            tries.append(((len(gate.faults) + _faults(outcome), _leaks(outcome)), gate, outcome))
            if not gate.chose or not any(tries[0][0]):
                break
        # «replicate» is the one of its two types that fits; where both do, the one that sums here.
        # Where neither does, the one with less against it: the rest only follows from the choice.
        _, gate, outcome = min(tries, key=lambda tried: tried[0])
        results = dict(zip(function.exports, outcome.results, strict=True))
        gate.leave(exits, results, function)
        gate.add_late(bound, results, function)
        for export in self.prover.written.copied(function, numbers, crossings, exits):
            # The split model changes a copy, or hands one on: what the caller holds, none can tell.
            self.fault("no-rule", step.module, "it changes in place what passes its boundary", "")
            results[export] = _UNKNOWN
        self.out.faults += gate.faults
        self.out.moves += gate.moves
        self.out.passages += gate.passages
        self.note(step, gate, function)
        self.receive(step, numbers, [results[export] for export in function.exports])
        return step.module, outcome

    def note(self, step: Call, gate: Gate, function: Function) -> None:
        """Remember what is gathered on the way out of a module, and cut on the way into one."""
        outside = dict(zip(function.exports, step.results, strict=True))
        for move in gate.moves:
            if not move.enters and move.kind == "all_gather" and move.direction == "forward":
                self.gathered[outside[move.number]] = move
        for number, dim in gate.cut.items():
            self.cut.setdefault(number, dim)

    def receive(self, step: Call, numbers: Sequence[int], results: Sequence[Held]) -> None:
        """Take over what a call gave."""
        for number, held in zip(step.results, results, strict=True):
            if number in numbers and held.type is not self.held[number].type:
                # The graph has one tensor where the split model has two: which is used later, none can tell.
                self.fault(
                    "no-rule", step.module, "it returns what it was handed, changed at its boundary", ""
                )
                held = _UNKNOWN
            self.held[number] = held

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


_OF_POSITIONS = ("__getitem__", "unsqueeze")
"""What may be done with positions that each rank counts from its own start."""


def _refuse_positions(operands: Sequence[Operand]) -> None:
    for operand in operands:
        if isinstance(operand.type, Counted):
            raise Refused("size-read", str(operand.type), "positions that are counted along the whole dim")


def _size_read(number: Differs) -> Refused:
    said = number.text or "a number that the code computes from sizes"
    here = "" if number.local is None else f": {number.local} on a rank, {number.whole} in the whole model"
    return Refused("size-read", f"{said}{here}", "a value that is whole where its size is read")


def _called(operation: Operation) -> str:
    kinds = ", ".join(str(operand.type) for operand in operation.operands())
    return f"{operation.name}({kinds})"
