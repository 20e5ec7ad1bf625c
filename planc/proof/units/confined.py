"""Calls that use FSDP as it is meant to be used: each module reads the parameters of its own unit alone, and
what leaves it leaves by its result. They need no closer look, and nearly all calls of nearly all models are so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import BoundModule
from planc.ir.graph import INDEX_NODES, Call, Function, ModelGraph, Op, Value, WeightRef
from planc.ir.tree import leaves
from planc.proof.rules.inplace import is_inplace
from planc.proof.units.memory import returns_view, viewed_operands
from planc.proof.units.unit_map import UnitMap


class ConfinedCalls:
    """Judges functions, each once for each bound module.

    Args:
        units: the units of the plan.
        graph: the model.
    """

    def __init__(self, units: UnitMap, graph: ModelGraph) -> None:
        self.units, self.graph = units, graph
        self._confined: dict[tuple[int, int], bool] = {}
        self._passed: dict[int, tuple[int | None, ...]] = {}
        self._views: dict[int, tuple[int | None, ...]] = {}
        self._reads: dict[tuple[int, int], bool] = {}

    def is_confined(self, function: Function, bound: BoundModule) -> bool:
        """Whether the code is right wherever the unit around the module is gathered: it reads no parameter of
        another unit, and nothing that FSDP cannot see leaves a unit."""
        key = (id(function), id(bound))
        if key not in self._confined:
            self._confined[key] = False  # a module that calls itself is not
            self._confined[key] = self._judge(function, bound)
        return self._confined[key]

    def reads_own_unit(self, function: Function, bound: BoundModule) -> bool:
        """Whether a confined call reads parameters of the unit around the module."""
        key = (id(function), id(bound))
        if key not in self._reads:
            self._reads[key] = any(
                self._call_reads(step, bound)
                if isinstance(step, Call)
                else any(self._owner(name, bound) for name in weight_names(step))
                for step in function.steps
            )
        return self._reads[key]

    def passed_inputs(self, function: Function) -> tuple[int | None, ...]:
        """For each export of a function, the input that it is, unchanged."""
        found = self._passed.get(id(function))
        if found is None:
            found = tuple([self._passed_input(function, number) for number in function.exports])
            self._passed[id(function)] = found
        return found

    def _passed_input(self, function: Function, number: int) -> int | None:
        """The input of a function that one of its tensors is, unchanged."""
        made_by = {result: step for step in function.steps for result in step.results}
        while number >= function.inputs:
            step = made_by.get(number)
            if not isinstance(step, Call):
                return None
            callee = self.graph.functions[step.function]
            passed = self.passed_inputs(callee)[step.results.index(number)]
            if passed is None:
                return None
            number = (*step.argument_tensors, *step.free_tensors)[passed]
        return number

    def views(self, function: Function) -> tuple[int | None, ...]:
        """For each export of a function: the input that it is a view of, -1 if it is a view of a tensor made inside, or
        None if it is no view."""
        found = self._views.get(id(function))
        if found is None:
            made_by = {result: step for step in function.steps for result in step.results}
            found = tuple([self._viewed(function, made_by, number) for number in function.exports])
            self._views[id(function)] = found
        return found

    def _viewed(self, function: Function, made_by: Mapping[int, Op | Call], number: int) -> int | None:
        if number < function.inputs:
            return number
        step = made_by.get(number)
        if isinstance(step, Call):
            callee, position = self.graph.functions[step.function], step.results.index(number)
            inputs = (*step.argument_tensors, *step.free_tensors)
            passed, view = self.passed_inputs(callee)[position], self.views(callee)[position]
            if passed is not None:
                return self._viewed(function, made_by, inputs[passed])
            return view if view is None or view < 0 else self._view_of(function, made_by, inputs[view])
        if step is None:
            return None
        viewed = viewed_operands(function, step)
        values = leaves((step.arguments, step.keywords), Value, into=INDEX_NODES)
        if is_inplace(step) and values:
            return self._viewed(function, made_by, values[0].number)
        if step.name == "aliased":
            return self._viewed(function, made_by, values[1 + step.results.index(number)].number)
        if viewed:
            first = viewed[0]
            return self._view_of(function, made_by, first.number) if isinstance(first, Value) else -1
        return -1 if returns_view(function, step, lambda _: None) else None

    def _view_of(self, function: Function, made_by: Mapping[int, Op | Call], number: int) -> int:
        """What a view of a tensor is a view of: an input, or a tensor made inside."""
        viewed = self._viewed(function, made_by, number)
        return -1 if viewed is None else viewed

    def _call_reads(self, step: Call, bound: BoundModule) -> bool:
        child = bound.find_submodule(step.module)
        if child is None or self.units.is_unit(child):
            return False
        return self.reads_own_unit(self.graph.functions[step.function], child)

    def _judge(self, function: Function, bound: BoundModule) -> bool:
        if function.exports != function.returned_tensors or leaves(function.result, WeightRef):
            return False
        views: set[int] = set()
        """Tensors that may lie in the memory of a parameter."""
        foreign = set(range(function.inputs))
        """Tensors that may be views of what another module gave."""
        for step in function.steps:
            names = list(weight_names(step))
            if isinstance(step, Call):
                if (
                    names
                    or views.intersection(step.argument_tensors)
                    or not self._calls_confined(step, bound)
                ):
                    return False
                foreign.update(step.results)
                continue
            if any(self._owner(name, bound) is None for name in names):
                return False
            operands = {
                value.number for value in leaves((step.arguments, step.keywords), Value, into=INDEX_NODES)
            }
            if is_inplace(step) and not foreign.isdisjoint(operands):
                return False
            for item in viewed_operands(function, step):
                if isinstance(item, WeightRef) or item.number in views:
                    views.update(step.results)
                if isinstance(item, Value) and item.number in foreign:
                    foreign.update(step.results)
        return views.isdisjoint(function.exports)

    def _calls_confined(self, step: Call, bound: BoundModule) -> bool:
        child = self._below(step.module, bound)
        if child is None or child is bound:
            return False
        if self.units.is_unit(child) and not self.units.is_plain_unit(child):
            return False
        return self.is_confined(self.graph.functions[step.function], child)

    def _owner(self, name: str, bound: BoundModule) -> BoundModule | None:
        """The module that owns a parameter or a buffer, if the parameter is in the same unit as the code's module."""
        path, _, own_name = name.rpartition(".")
        owner = self._below(path, bound)
        if owner is None or (owner is not bound and self.units.is_unit(owner)):
            return None
        return owner if own_name in owner.module.parameters or own_name in owner.module.buffers else None

    def _below(self, path: str, bound: BoundModule) -> BoundModule | None:
        """The module of a dotted name below another one, if no unit lies between the two."""
        if path.startswith("/"):
            return None
        parts = path.split(".") if path else []
        for number, part in enumerate(parts):
            child = bound.children.get(part)
            if child is None or (self.units.is_unit(child) and number < len(parts) - 1):
                return None
            bound = child
        return bound


def weight_names(step: Op | Call) -> Iterator[str]:
    """The parameters and buffers that a step reads."""
    for weight in leaves((step.arguments, step.keywords), WeightRef, into=INDEX_NODES):
        yield weight.name
