"""Turns a recorded run into functions; calls that do the same share one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from planc.graph.graph_writer import encode_function
from planc.ir.graph import (
    ARGUMENT_NODES,
    Call,
    Function,
    Op,
    SymNumber,
    TensorInfo,
    Value,
    WeightRef,
    distinct_tensors,
)
from planc.ir.tree import rebuild, transform
from planc.torch.capture.name_scope import NameScope
from planc.torch.capture.trace_records import CallRecord, OpRecord, TraceTensors, tensor_numbers


@dataclass
class _CallSummary:
    """One call, as its caller needs it."""

    function: int
    outer: list[int]
    """The tensors that it uses without being passed them."""
    results: list[tuple[int, int | None]]
    """The tensors that it exports, each with its number for the caller; None: the caller has it under a number that
    it knows already."""


class FunctionDeduplicator:
    """Turns calls into functions, innermost first."""

    def __init__(self, tensors: TraceTensors, names: NameScope) -> None:
        self.tensors, self.names = tensors, names
        self.functions: list[Function] = []
        self.function_of: dict[int, int] = {}
        """The function of each call, by its number."""
        self.source_lines: dict[int, dict[int, str]] = {}
        """By function and step: where the model's code calls an operation."""
        self._by_text: dict[str, int] = {}
        self._users: dict[int, tuple[int, int]] = {}
        """The first and the last call that uses a tensor."""

    def deduplicate(self, root: CallRecord) -> tuple[Function, ...]:
        """The functions of a run; the last one is the whole run."""
        for call in root.calls():
            for step in call.steps:
                self._add_users(call, (step.arguments, step.keywords))
            self._add_users(call, call.result)
        self._summarize(root)
        return tuple(self.functions)

    def _add_users(self, call: CallRecord, item: Any) -> None:
        for number in tensor_numbers(item):
            first, last = self._users.get(number, (call.number, call.number))
            self._users[number] = min(first, call.number), max(last, call.number)

    def _summarize(self, call: CallRecord) -> _CallSummary:
        inner = {step.number: self._summarize(step) for step in call.steps if isinstance(step, CallRecord)}
        inputs = self._inputs(call)
        outer = self._outer(call, inner, {own for _, own in inputs})
        returned = distinct_tensors(call.result)
        made = [n for n in self._made(call, inner) if self._is_used_outside(call, n)]
        kept = list(dict.fromkeys((*made, *call.shared_outputs)))
        builder = _FunctionBuilder(self, call, [*inputs, *((n, n) for n in outer)])
        for step in call.steps:
            if isinstance(step, OpRecord):
                builder.add_op(step)
            else:
                builder.add_call(step, inner[step.number])
        function = self.function_of[call.number] = self._store(builder.build([*returned, *kept]))
        if builder.lines:
            self.source_lines.setdefault(function, builder.lines)
        results = [(n, call.output_aliases.get(n)) for n in returned]
        return _CallSummary(function, outer, [*results, *((n, n) for n in kept)])

    def _inputs(self, call: CallRecord) -> list[tuple[int, int | None]]:
        """The tensors that the caller passes: their numbers there, and inside."""
        passed = distinct_tensors((call.arguments, call.keywords))
        if call.number == 0:
            return [(n, n) for n in passed]
        return [(n, call.input_aliases.get(n)) for n in passed]

    def _outer(
        self, call: CallRecord, inner: Mapping[int, _CallSummary], known: set[int | None]
    ) -> list[int]:
        """The tensors from outside that a call, or one inside, uses without being passed them."""
        used: dict[int, None] = {}
        for step in call.steps:
            used |= dict.fromkeys(tensor_numbers((step.arguments, step.keywords)))
            if isinstance(step, CallRecord):
                used |= dict.fromkeys(inner[step.number].outer)
        used |= dict.fromkeys(tensor_numbers(call.result))
        made_by = self.tensors.made_by
        outer = [n for n in used if n not in known and not call.contains_call(made_by[n])]
        # The code can reach these through an object of the caller's, whether it does so or not.
        return [*outer, *(n for n in call.shared_inputs if n not in outer)]

    def _made(self, call: CallRecord, inner: Mapping[int, _CallSummary]) -> list[int]:
        """The tensors that get their numbers in a call: its aliases, its results and those of calls inside."""
        made = list(call.input_aliases.values())
        for step in call.steps:
            if isinstance(step, OpRecord):
                made += step.results
            else:
                made += [n for _, n in inner[step.number].results if n is not None]
        return [n for n in dict.fromkeys(made) if call.contains_call(self.tensors.made_by[n])]

    def _is_used_outside(self, call: CallRecord, number: int) -> bool:
        first, last = self._users.get(number, (call.number, call.number))
        return not (call.contains_call(first) and call.contains_call(last))

    def _store(self, function: Function) -> int:
        text = json.dumps(encode_function(function))
        if text not in self._by_text:
            self._by_text[text] = len(self.functions)
            self.functions.append(function)
        return self._by_text[text]


class _FunctionBuilder:
    """Builds the function of one call, with its own numbers of tensors and relative names."""

    def __init__(
        self, deduplicator: FunctionDeduplicator, record: CallRecord, inputs: Iterable[tuple[int, int | None]]
    ) -> None:
        self.deduplicator, self.record = deduplicator, record
        self._own_names = deduplicator.names.all_names(record.module)
        self.local_numbers: dict[int, int] = {}
        self.infos: list[TensorInfo] = []
        self.input_count = len(self._results(inputs))
        self.steps: list[Op | Call] = []
        self.number_uses: set[str] = set()
        self.lines: dict[int, str] = {}

    def add_op(self, step: OpRecord) -> None:
        """Add an operation; a use of a number is added once."""
        arguments, keywords = self._localize(step.arguments), self._localize(step.keywords)
        if step.name.startswith("number."):
            use = f"{step.name} {arguments!r}"
            if use in self.number_uses:
                return
            self.number_uses.add(use)
        if step.line:
            self.lines[len(self.steps)] = step.line
        self.steps.append(Op(step.name, arguments, keywords, self._results((n, n) for n in step.results)))

    def add_call(self, step: CallRecord, summary: _CallSummary) -> None:
        """Add a call of another module."""
        arguments, keywords = self._localize(step.arguments), self._localize(step.keywords)
        outer = tuple([self.local_numbers[number] for number in summary.outer])
        module = self.deduplicator.names.name_below(step.module, self.record.module)
        results = self._results(summary.results)
        self.steps.append(Call(module, summary.function, arguments, keywords, outer, results))

    def build(self, exports: list[int]) -> Function:
        """The function, which exports these tensors."""
        numbers = tuple([self.local_numbers[number] for number in exports])
        result = self._localize(self.record.result)
        return Function(self.input_count, tuple(self.infos), tuple(self.steps), result, numbers)

    def _results(self, tensors: Iterable[tuple[int, int | None]]) -> tuple[int, ...]:
        """Number tensors that are new to this function: each one's number where it was made, and the one that the code
        of this call has for it."""
        first = len(self.infos)
        for made, own in tensors:
            if own is not None:
                self.local_numbers[own] = len(self.infos)
            self.infos.append(self.deduplicator.tensors.infos[made])
        return tuple(range(first, len(self.infos)))

    def _localize(self, item: Any) -> Any:
        """Arguments with the numbers and names of this function."""
        return transform(item, self._localize_leaf, self._localize_node, into=ARGUMENT_NODES)

    def _localize_leaf(self, item: Any) -> Any:
        if isinstance(item, Value):
            return Value(self.local_numbers[item.number])
        if isinstance(item, WeightRef):
            return WeightRef(self.deduplicator.names.name_below(item.name, self.record.module))
        return item

    def _localize_node(self, node: Any, parts: list[Any]) -> Any:
        if isinstance(node, SymNumber) and node.op == "attribute":
            name = self.deduplicator.names.attribute_below(node.arguments[0], self.record.module)
            return SymNumber("attribute", (name,), node.captured)
        if isinstance(node, SymNumber) and isinstance(node.arguments[-1], str):
            # A module that reads a size itself is not named.
            own = node.arguments[-1] in self._own_names
            reader = (
                () if own else (self.deduplicator.names.name_below(node.arguments[-1], self.record.module),)
            )
            return SymNumber(node.op, (*parts[:-1], *reader), node.captured)
        return rebuild(node, parts)
