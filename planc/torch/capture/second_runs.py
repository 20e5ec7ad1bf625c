"""Runs calls a second time, after the pass, as recomputation does in the backward pass, and compares.

Only calls that leave something behind, or find something, are run again: see `hidden_flows`. What a call computes
counts, not how: a table of positions that a dictionary holds is the same as the one that the first run made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from planc.ir.graph import ARGUMENT_NODES, Call, Function, SymNumber, Value, WeightRef
from planc.ir.tree import transform
from planc.proof.rules.catalog import find_op
from planc.proof.rules.registry import never
from planc.torch.capture.hidden_flows import hidden_flows
from planc.torch.capture.recorder import Recorder
from planc.torch.capture.tensor_table import TensorTable
from planc.torch.capture.trace_records import CallRecord, OpRecord, tensor_numbers
from planc.torch.compat import own_buffers

Effect = tuple[str, tuple[int, ...]]
"""An operation that autograd records, or that draws random numbers, with its values."""


def rerun_hidden_flows(
    recorder: Recorder, model: nn.Module, changed_modules: Iterable[str]
) -> dict[int, str]:
    """What differs when calls run again, by the number of the call: the first operation that does; '' if none.

    The calls run in the order of a backward pass, the last one first. Of calls that look the same, one runs.

    Args:
        recorder: has recorded the pass.
        model: the model.
        changed_modules: the modules in whose attributes the pass has left something.
    """
    root = recorder.root
    calls = [] if root is None else hidden_flows(root, recorder.table.tensors, changed_modules)
    if root is None or not calls:
        return {}
    found: dict[int, str] = {}
    by_shape: dict[Any, str] = {}
    parents = {
        step.number: call for call in root.calls() for step in call.steps if isinstance(step, CallRecord)
    }
    values = PassValues(recorder.table)
    values.effects(root)
    for call in reversed(calls):
        shape = _shape(call)
        if shape not in by_shape:
            by_shape[shape] = _difference(recorder, model, values, call, parents[call.number])
        found[call.number] = by_shape[shape]
    return found


def _shape(call: CallRecord) -> Any:
    """What calls have in common that are likely to do the same again."""
    steps = tuple([step.name if isinstance(step, OpRecord) else _shape(step) for step in call.steps])
    return type(call.target), steps


def _difference(
    recorder: Recorder, model: nn.Module, values: PassValues, call: CallRecord, caller: CallRecord
) -> str:
    """The first operation in which a second run differs from the first; ''."""
    first = values.start_second_run(call, model)
    again = _rerun(recorder, call, caller)
    if again is None:
        return recorder.last_op or "forward"
    second = values.effects(again)
    for one, other in zip(first, second, strict=False):
        if one != other:
            return other[0]
    rest = [*first[len(second) :], *second[len(first) :]]
    return rest[0][0] if rest else ""


def _rerun(recorder: Recorder, call: CallRecord, caller: CallRecord) -> CallRecord | None:
    """The record of a second run; None: it raises."""
    holder = CallRecord(recorder.call_count, caller.module, (), {})
    recorder.call_count += 1
    recorder.open_calls[:] = [holder]
    arguments, keywords = call.passed
    try:
        with torch.set_grad_enabled(call.has_grad), recorder:
            call.target(*arguments, **keywords)
    except Exception:  # noqa: BLE001  # whatever it is, the second run does not do what the first did
        return None
    finally:
        recorder.open_calls.clear()
    return next((step for step in holder.steps if isinstance(step, CallRecord)), None)


class PassValues:
    """Numbers the values of a pass, and of calls that run again after it: equal numbers, equal values.

    Args:
        table: the tensors of the pass.
    """

    def __init__(self, table: TensorTable) -> None:
        self.infos, self.table = table.tensors.infos, table
        self._numbers: dict[Any, int] = {}
        self._known: dict[int, int] = {}
        """The values of tensors."""
        self._weights: dict[str, int] = {}
        """The values of weights that were written to."""
        self._draws = 0
        self._starts: dict[int, tuple[int, dict[str, int]]] = {}
        """How many random numbers were drawn when a call began, and the values of weights then."""
        self._effects: dict[int, list[Effect]] = {}

    def start_second_run(self, call: CallRecord, model: nn.Module) -> list[Effect]:
        """Begin the second run of a call, and give the effects of the first.

        Random numbers and buffers count as put back: whether buffers change is another question.
        """
        self._draws, weights = self._starts[call.number]
        self._weights = dict(weights)
        for path, module in model.named_modules():
            for own, buffer in own_buffers(module).items():
                number = None if buffer is None else self.table.number(buffer)
                if number is not None:
                    name = self.table.weights.get(id(buffer), f"{path}.{own}" if path else own)
                    self._known[number] = self._weight(name)
        return self._effects[call.number]

    def effects(self, call: CallRecord) -> list[Effect]:
        """The operations of a run of which a second run must do the same."""
        found: list[Effect] = []
        self._starts[call.number] = self._draws, dict(self._weights)
        for outer, inner in call.input_aliases.items():
            self._known[inner] = self._value(outer)
        for step in call.steps:
            if isinstance(step, CallRecord):
                found += self.effects(step)
            elif not step.name.startswith("number."):
                found += self._effect(step)
        for inner, outer in call.output_aliases.items():
            self._known[outer] = self._value(inner)
        self._effects[call.number] = found
        return found

    def _effect(self, step: OpRecord) -> list[Effect]:
        row = find_op(step.name)
        is_random = row is None or row.uses_rng is not never
        self._draws += is_random
        arguments = step.arguments
        if row is not None and row.writes == "all":
            arguments = arguments[1:]  # what was there before has no part in the result
        key = (step.name, self._key(arguments), self._key(step.keywords), is_random and self._draws)
        for index, number in enumerate(step.results):
            self._set(number, (key, number if step.name == "opaque" else index))
        if step.name == "aliased":
            self._follow_views(step)
        if not is_random and not any(self.infos[number].grad for number in step.results):
            return []
        return [(step.name, tuple([self._known[number] for number in step.results]))]

    def _follow_views(self, step: OpRecord) -> None:
        """Views that have all entries of a tensor that was written to: their content is that of the tensor."""
        changed, *others = step.arguments
        for view, number in zip(others, step.results, strict=True):
            sizes = {prod(self.infos[n].shape) for n in tensor_numbers((changed, Value(number)))}
            if isinstance(changed, Value) and len(sizes) == 1:
                self._set(number, ("aliased", self._leaf_key(changed), type(view).__name__))

    def _set(self, number: int, key: Any) -> None:
        value = self._known[number] = self._number(key)
        if (name := self.table.weight_versions.get(number)) is not None:
            self._weights[name] = value

    def _weight(self, name: str) -> int:
        return self._weights.get(name, self._number(("weight", name)))

    def _value(self, number: int) -> int:
        if number not in self._known:
            self._known[number] = self._number(("outside", number))
        return self._known[number]

    def _number(self, key: Any) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _key(self, arguments: Any) -> Any:
        return transform(arguments, self._leaf_key, _node_key, into=ARGUMENT_NODES)

    def _leaf_key(self, item: Any) -> Any:
        if isinstance(item, Value):
            return "value", self._value(item.number)
        if isinstance(item, WeightRef):
            return "value", self._weight(item.name)
        return type(item).__name__, item


def _node_key(node: Any, parts: list[Any]) -> Any:
    if isinstance(node, SymNumber):
        return node.captured
    return (*node, *parts) if isinstance(node, Mapping) else tuple(parts)


def second_runs_of_functions(
    functions: Sequence[Function], function_of: Mapping[int, int], found: Mapping[int, str]
) -> dict[int, str]:
    """The second runs by functions, as a graph has them.

    Args:
        functions: the functions of the graph.
        function_of: the function of each call.
        found: what differs, by the number of the call.
    """
    result = {
        step.function: ""
        for function in functions
        for step in function.steps
        if isinstance(step, Call) and (step.found_tensors or functions[step.function].left_tensors)
    }
    for call, text in found.items():
        if call in function_of and (text or function_of[call] in result):
            result[function_of[call]] = text or result[function_of[call]]
    return dict(sorted(result.items()))
