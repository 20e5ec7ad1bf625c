"""The forward pass of a model under FSDP, step by step: which units are gathered when its code uses their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import INDEX_NODES, Call, Function, Op, TensorInfo, Value, WeightRef
from planc.ir.record import Record
from planc.ir.tree import leaves
from planc.proof.result import join_module_path
from planc.proof.rules.inplace import is_inplace
from planc.proof.saved_by_operation import recorded_operation, saved_tensors
from planc.proof.units.confined import ConfinedCalls
from planc.proof.units.memory import returns_view, viewed_operands
from planc.proof.units.tape import Node, Step, Tape, Traced
from planc.proof.units.unit_map import FsdpUnit, UnitMap


class Misuse(Record):
    """A use of a unit's parameters while they are not gathered."""

    unit: FsdpUnit
    step: Step
    parameter: str
    """Its name in the model, if the code reads it; '': the code uses memory that FSDP has freed."""
    changes_argument: bool = False
    """Whether the code changes an argument of the unit in place instead, which autograd refuses."""


class ForwardPass:
    """Follows a model, and records its tape.

    Args:
        binding: the plan and the model.
        units: the units of the plan.
        confined: judges calls that need no closer look.
    """

    def __init__(self, binding: Binding, units: UnitMap, confined: ConfinedCalls) -> None:
        self.binding, self.graph, self.units, self.confined = binding, binding.graph, units, confined
        self.tape = Tape()
        self.misuses: list[Misuse] = []
        self._waiting: dict[FsdpUnit, set[str]] = {}
        """The modules of a unit of several that are still to run in this round."""

    def run(self) -> list[int]:
        """Follow the whole model, and give the nodes of its outputs."""
        main, root = self.graph.main_function, self.binding.root
        inputs = [
            Traced(self.tape.add(Node((), Step("", "input"))) if info.grad else None)
            for info in main.tensors[: main.inputs]
        ]
        results = self._call("", main, root, inputs, range(main.inputs), Step("", "root"))
        self._end_rounds(results)
        step = Step("", "result")
        for tensor in results:
            self._check_memory(tensor, step)
        for weight in leaves(main.result, WeightRef, into=INDEX_NODES):
            self._read(weight.name, root, "", step)
        return [tensor.node for tensor in results if tensor.node is not None]

    def _end_rounds(self, results: Sequence[Traced]) -> None:
        """Units of several modules that have not all run: FSDP frees them when the model has run."""
        for unit in [unit for unit, waiting in self._waiting.items() if waiting]:
            if not unit.keeps:
                self.tape.gathered.discard(unit)
            for tensor in results:
                self.tape.hook(tensor, unit)

    # ---- calls -------------------------------------------------------------------

    def _call(
        self,
        path: str,
        function: Function,
        bound: BoundModule,
        inputs: Sequence[Traced],
        handed: Sequence[int],
        step: Step,
    ) -> list[Traced]:
        """The results of the call of a module.

        Args:
            handed: the inputs that are arguments of the call.
        """
        unit = self.units.unit_of(path)
        if unit is None:
            return self._body(path, function, bound, list(inputs), step)
        entered = self._enter(unit, path, list(inputs), handed, step)
        results = self._body(path, function, bound, entered, step)
        self._leave(unit, path, results[: len(function.returned_tensors)])
        return results

    def _enter(
        self, unit: FsdpUnit, path: str, inputs: list[Traced], handed: Sequence[int], step: Step
    ) -> list[Traced]:
        """Gather a unit; FSDP reduces its gradients where those of the arguments are computed."""
        waiting = self._waiting.get(unit)
        self.tape.gathered.add(unit)
        if len(unit.modules) > 1:
            if waiting:
                return inputs
            self._waiting[unit] = set(unit.modules)
        nodes = [node for number in handed if (node := inputs[number].node) is not None]
        if nodes:
            entry = self.tape.add(Node(tuple(nodes), step, reduces=unit))
            for number in handed:
                if inputs[number].node is not None:
                    inputs[number] = Traced(entry, inputs[number].memory, inputs[number].base, unit)
        return inputs

    def _leave(self, unit: FsdpUnit, path: str, returned: Sequence[Traced]) -> None:
        """Free a unit, and hang hooks on what it returns: they gather it in the backward pass."""
        if len(unit.modules) > 1:
            self._waiting[unit].discard(path)
            if self._waiting[unit]:
                return
        if not unit.keeps:
            self.tape.gathered.discard(unit)
        for tensor in returned:
            self.tape.hook(tensor, unit)

    def _body(
        self, path: str, function: Function, bound: BoundModule, inputs: list[Traced], step: Step
    ) -> list[Traced]:
        if self.confined.is_confined(function, bound) and not any(tensor.memory for tensor in inputs):
            return self._confined_body(path, function, bound, inputs, step)
        values = dict(enumerate(inputs))
        for each in function.steps:
            if isinstance(each, Call):
                self._follow_call(path, bound, each, values)
            elif not each.name.startswith("number."):
                self._follow_op(path, function, bound, each, values)
        return [values[number] for number in function.exports]

    def _confined_body(
        self, path: str, function: Function, bound: BoundModule, inputs: list[Traced], step: Step
    ) -> list[Traced]:
        """A call that is right if the unit around it is gathered, as one node."""
        own = self.units.unit_around(path)
        used = () if own is None or not self.confined.reads_own_unit(function, bound) else (own,)
        for unit in used:
            if unit not in self.tape.gathered:
                self.misuses.append(Misuse(unit, step, _first_parameter(path, bound)))
        operands = tuple(dict.fromkeys(tensor.node for tensor in inputs if tensor.node is not None))
        node = self.tape.add(Node(operands, Step(path, step.operation), used, used))
        passed = self.confined.passed_inputs(function)
        views = self.confined.views(function)
        return [
            self._confined_result(function, number, node, inputs, each, view)
            for number, each, view in zip(function.exports, passed, views, strict=True)
        ]

    def _confined_result(
        self,
        function: Function,
        number: int,
        node: int,
        inputs: Sequence[Traced],
        passed: int | None,
        view: int | None,
    ) -> Traced:
        """One result of such a call: an input unchanged, a view, or a tensor of its own."""
        if passed is not None:
            return inputs[passed]
        has_grad = function.tensors[number].grad
        if view is None:
            return Traced(node if has_grad else None)
        viewed = inputs[view] if view >= 0 else Traced(node)
        made = self.tape.add(Node((node,), Step("", "view"))) if has_grad else None
        base = viewed.node if viewed.base is None else viewed.base
        return Traced(made, base=base, argument_of=viewed.argument_of)

    def _follow_call(self, path: str, bound: BoundModule, call: Call, values: dict[int, Traced]) -> None:
        start = self.binding.root if call.module.startswith("/") else bound
        child = start.find_submodule(call.module.removeprefix("/"))
        function = self.graph.functions[call.function]
        if child is None:
            values.update({number: Traced(None) for number in call.results})
            return
        step = Step(path, call.module.removeprefix("/"))
        for weight in leaves((call.arguments, call.keywords), WeightRef, into=INDEX_NODES):
            self._read(weight.name, bound, path, step)
        numbers = (*call.argument_tensors, *call.free_tensors)
        inputs = [values.get(number, Traced(None)) for number in numbers]
        name = join_module_path(path, call.module)
        results = self._call(name, function, child, inputs, range(len(call.argument_tensors)), step)
        values.update(zip(call.results, results, strict=False))

    # ---- operations --------------------------------------------------------------

    def _follow_op(
        self, path: str, function: Function, bound: BoundModule, op: Op, values: dict[int, Traced]
    ) -> None:
        step = Step(path, op.name)
        units: dict[WeightRef, FsdpUnit] = {}
        operands: list[Traced] = []
        for item in leaves((op.arguments, op.keywords), (Value, WeightRef), into=INDEX_NODES):
            if isinstance(item, WeightRef):
                unit = self._read(item.name, bound, path, step)
                if unit is not None:
                    units[item] = unit
            else:
                operands.append(values.get(item.number, Traced(None)))
                self._check_memory(operands[-1], step)
        if is_inplace(op) and operands:
            self.tape.change(operands[0], step)
        if is_inplace(op) and operands and operands[0].argument_of is not None:
            self.misuses.append(Misuse(operands[0].argument_of, step, "", changes_argument=True))
        viewed = viewed_operands(function, op)
        memory = self._viewed_units(viewed, units, values)
        node = inside = None
        if any(function.tensors[number].grad for number in op.results):
            parents = [tensor.node for tensor in operands if tensor.node is not None]
            # A view that is changed gets its gradient from its base: the hooks on it are gone.
            changed = operands if op.name == "aliased" else operands[:1] if is_inplace(op) else []
            for tensor in changed:
                if tensor.base is not None:
                    parents = [tensor.base if parent == tensor.node else parent for parent in parents]
            saved = self._saved_units(function, bound, op, units, values)
            accumulates = tuple(dict.fromkeys(units.values()))
            node = self.tape.add(Node(tuple(dict.fromkeys(parents)), step, saved, accumulates))
            inside = node if returns_view(function, op, partial(self._find, bound=bound)) else None
            node = node if inside is None else self.tape.add(Node((inside,), step))
        base = self._base(viewed, values) if not is_inplace(op) else (operands[0].base if operands else None)
        base = inside if base is None else base
        first = viewed[0] if viewed else None
        argument_of = (
            values[first.number].argument_of if isinstance(first, Value) and first.number in values else None
        )
        for number in op.results:
            values[number] = Traced(
                node if function.tensors[number].grad else None, memory, base, argument_of
            )

    @staticmethod
    def _viewed_units(
        viewed: Sequence[Value | WeightRef], units: dict[WeightRef, FsdpUnit], values: dict[int, Traced]
    ) -> frozenset[FsdpUnit]:
        """The units in whose memory the results of an operation may lie."""
        found: set[FsdpUnit] = set()
        for item in viewed:
            if isinstance(item, Value):
                found |= values[item.number].memory if item.number in values else set()
            elif item in units:
                found.add(units[item])
        return frozenset(found)

    def _saved_units(
        self,
        function: Function,
        bound: BoundModule,
        op: Op,
        units: dict[WeightRef, FsdpUnit],
        values: dict[int, Traced],
    ) -> tuple[FsdpUnit, ...]:
        """The units in whose memory lies what autograd saves for an operation."""

        def info(name: str) -> TensorInfo | None:
            return self._find(name, bound)

        saved = saved_tensors(function, op, info)
        operands = [operand.origin for operand in recorded_operation(function, op, info).operands()]
        if saved is not None:
            operands = [operands[tensor.source] for tensor in saved if isinstance(tensor.source, int)]
        found: dict[FsdpUnit, None] = {}
        for item in operands:
            if isinstance(item, WeightRef):
                found.update(dict.fromkeys([units[item]] if item in units else []))
            elif isinstance(item, Value) and item.number in values:
                found.update(dict.fromkeys(values[item.number].memory))
        return tuple(found)

    @staticmethod
    def _base(viewed: Sequence[Value | WeightRef], values: dict[int, Traced]) -> int | None:
        """The node of the tensor that the result of a view lies in."""
        first = viewed[0] if viewed else None
        if not isinstance(first, Value) or first.number not in values:
            return None
        tensor = values[first.number]
        return tensor.node if tensor.base is None else tensor.base

    # ---- parameters --------------------------------------------------------------

    def _read(self, name: str, bound: BoundModule, path: str, step: Step) -> FsdpUnit | None:
        """The unit of a parameter that the code reads; None: it is a buffer, in no unit, or without dims and so full."""
        start, owner = ("", self.binding.root) if name.startswith("/") else (path, bound)
        module, _, own_name = name.removeprefix("/").rpartition(".")
        found = owner.find_submodule(module)
        info = None if found is None else found.module.parameters.get(own_name)
        if info is None or not info.shape:
            return None
        full = join_module_path(start, module)
        unit = self.units.unit_around(full)
        if unit is not None and unit not in self.tape.gathered:
            self.misuses.append(Misuse(unit, step, join_module_path(full, own_name)))
        return unit

    def _find(self, name: str, bound: BoundModule) -> TensorInfo | None:
        """A parameter or a buffer by its name in the code of a module."""
        start = self.binding.root if name.startswith("/") else bound
        module, _, own_name = name.removeprefix("/").rpartition(".")
        found = start.find_submodule(module)
        if found is None:
            return None
        return found.module.parameters.get(own_name) or found.module.buffers.get(own_name)

    def _check_memory(self, tensor: Traced, step: Step) -> None:
        for unit in tensor.memory:
            if unit not in self.tape.gathered:
                self.misuses.append(Misuse(unit, step, ""))


def _first_parameter(path: str, bound: BoundModule) -> str:
    """The name of one parameter at or below a module."""
    for name, module in bound.named_modules(path):
        for own_name in module.module.parameters:
            return join_module_path(name, own_name)
    return path
