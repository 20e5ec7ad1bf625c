"""Folds a recorded run into functions, so that what repeats is stored once."""

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
from planc.ir.tree import fold, rebuild
from planc.torch.capture.name_scope import NameScope
from planc.torch.capture.trace_records import ModuleCall, RecordedOp, TraceTensors, tensor_numbers


@dataclass
class _CallSummary:
    """One call, as its caller needs it."""

    function: int
    outer: list[int]
    """The tensors that it uses by other ways than being handed them."""
    results: list[tuple[int, int | None]]
    """The tensors that it gives, and the numbers by which its caller knows them; None: it knows
    them by another way."""


class FunctionDeduplicator:
    """Turns calls into functions, innermost first."""

    def __init__(self, tensors: TraceTensors, names: NameScope) -> None:
        self.tensors, self.names = tensors, names
        self.functions: list[Function] = []
        self._known: dict[str, int] = {}
        self._users: dict[int, tuple[int, int]] = {}
        """The first and the last call that uses a tensor."""

    def deduplicate(self, root: ModuleCall) -> tuple[Function, ...]:
        """The functions of a run; the last one is the whole of it."""
        self._meet(root)
        self._folded(root)
        return tuple(self.functions)

    def _meet(self, frame: ModuleCall) -> None:
        for step in frame.steps:
            self._use(frame, (step.arguments, step.keywords))
            if isinstance(step, ModuleCall):
                self._meet(step)
        self._use(frame, frame.result)

    def _use(self, frame: ModuleCall, item: Any) -> None:
        for number in tensor_numbers(item):
            first, last = self._users.get(number, (frame.number, frame.number))
            self._users[number] = min(first, frame.number), max(last, frame.number)

    def _folded(self, frame: ModuleCall) -> _CallSummary:
        inner = {step.number: self._folded(step) for step in frame.steps if isinstance(step, ModuleCall)}
        inputs = self._inputs(frame)
        known = {own for _, own in inputs}
        used: dict[int, None] = {}
        for step in frame.steps:
            used |= dict.fromkeys(tensor_numbers((step.arguments, step.keywords)))
            if isinstance(step, ModuleCall):
                used |= dict.fromkeys(inner[step.number].outer)
        used |= dict.fromkeys(tensor_numbers(frame.result))
        makers = self.tensors.made_by
        outer = [n for n in used if n not in known and not frame.contains_call(makers[n])]
        # That code could reach them otherwise is said, whether it does so or not.
        outer += [n for n in frame.shared_inputs if n not in outer]
        returned = distinct_tensors(frame.result)
        made = [n for n in self._made(frame, inner) if self._is_used_outside(frame, n)]
        later = list(dict.fromkeys((*made, *frame.shared_outputs)))
        body = _FunctionBuilder(self, frame, [*inputs, *((n, n) for n in outer)])
        for step in frame.steps:
            if isinstance(step, RecordedOp):
                body.op(step)
            else:
                body.call(step, inner[step.number])
        function = self._stored(body.function([*returned, *later]))
        results = [(n, frame.output_aliases.get(n)) for n in returned]
        return _CallSummary(function, outer, [*results, *((n, n) for n in later)])

    def _inputs(self, frame: ModuleCall) -> list[tuple[int, int | None]]:
        """What a call is handed: the numbers of the caller, and those that the code in it knows."""
        handed = distinct_tensors((frame.arguments, frame.keywords))
        if frame.number == 0:
            return [(n, n) for n in handed]
        return [(n, frame.input_aliases.get(n)) for n in handed]

    def _made(self, frame: ModuleCall, inner: Mapping[int, _CallSummary]) -> list[int]:
        """The tensors that a call made, or has under a number of its own, or that calls in it gave."""
        made = list(frame.input_aliases.values())
        for step in frame.steps:
            if isinstance(step, RecordedOp):
                made += step.results
            else:
                made += [n for _, n in inner[step.number].results if n is not None]
        return [n for n in dict.fromkeys(made) if frame.contains_call(self.tensors.made_by[n])]

    def _is_used_outside(self, frame: ModuleCall, number: int) -> bool:
        first, last = self._users.get(number, (frame.number, frame.number))
        return not (frame.contains_call(first) and frame.contains_call(last))

    def _stored(self, function: Function) -> int:
        key = json.dumps(encode_function(function))
        if key not in self._known:
            self._known[key] = len(self.functions)
            self.functions.append(function)
        return self._known[key]


class _FunctionBuilder:
    """The function of one call while it is put together: its tensors are numbered anew."""

    def __init__(
        self, folder: FunctionDeduplicator, frame: ModuleCall, inputs: Iterable[tuple[int, int | None]]
    ) -> None:
        self.deduplicator, self.frame = folder, frame
        self.local: dict[int, int] = {}
        self.infos: list[TensorInfo] = []
        self.inputs = len(self._results(inputs))
        self.steps: list[Op | Call] = []
        self.notes: set[str] = set()

    def op(self, step: RecordedOp) -> None:
        said = self.localized(step.arguments), self.localized(step.keywords)
        if step.name.startswith("number."):
            # Numbers do not change: saying it once is enough.
            key = f"{step.name} {said[0]!r}"
            if key in self.notes:
                return
            self.notes.add(key)
        self.steps.append(Op(step.name, *said, self._results((n, n) for n in step.results)))

    def call(self, step: ModuleCall, inner: _CallSummary) -> None:
        said = self.localized(step.arguments), self.localized(step.keywords)
        used = tuple([self.local[number] for number in inner.outer])
        path = self.deduplicator.names.module_below(step.module, self.frame.module)
        self.steps.append(Call(path, inner.function, *said, used, self._results(inner.results)))

    def _results(self, made: Iterable[tuple[int, int | None]]) -> tuple[int, ...]:
        """Number what a step gives: what it is, and the number under which this call knows it."""
        first = len(self.infos)
        for inside, here in made:
            if here is not None:
                self.local[here] = len(self.infos)
            self.infos.append(self.deduplicator.tensors.infos[inside])
        return tuple(range(first, len(self.infos)))

    def function(self, exports: list[int]) -> Function:
        given = tuple([self.local[number] for number in exports])
        result = self.localized(self.frame.result)
        return Function(self.inputs, tuple(self.infos), tuple(self.steps), result, given)

    def localized(self, item: Any) -> Any:
        """Arguments with the numbers and names of this function."""
        return fold(item, self._localize_leaf, self._localize_node, into=ARGUMENT_NODES)

    def _localize_leaf(self, item: Any) -> Any:
        if isinstance(item, Value):
            return Value(self.local[item.number])
        if isinstance(item, WeightRef):
            return WeightRef(self.deduplicator.names.weight_below(item.name, self.frame.module))
        return item

    def _localize_node(self, node: Any, parts: list[Any]) -> Any:
        if isinstance(node, SymNumber) and node.op == "attribute":
            name = self.deduplicator.names.attribute_below(node.arguments[0], self.frame.module)
            return SymNumber("attribute", (name,), node.captured)
        return rebuild(node, parts)
