"""The calls of modules in the captured run, with their arguments and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Value
from planc.ir.record import Record
from planc.ir.tree import leaves


class CapturedCall(Record):
    """One call of a module: its arguments and its result, as trees of values."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any


def module_calls(binding: Binding) -> dict[BoundModule, list[CapturedCall]]:
    """The calls of each module that the model's code calls; equal calls of one place once."""
    graph, root = binding.graph, binding.root
    calls: dict[BoundModule, list[CapturedCall]] = {root: [_root_call(binding)]}
    visited: set[tuple[int, BoundModule]] = set()
    recorded: set[tuple[int, BoundModule, int]] = set()

    def visit(number: int, bound: BoundModule) -> None:
        if (number, bound) in visited:
            return
        visited.add((number, bound))
        for step in graph.functions[number].steps:
            if isinstance(step, Call):
                name = step.module
                called = root.find_submodule(name[1:]) if name.startswith("/") else bound.find_submodule(name)
                if called is None:
                    continue
                if (number, called, step.function) not in recorded:
                    recorded.add((number, called, step.function))
                    result = graph.functions[step.function].result
                    calls.setdefault(called, []).append(CapturedCall(step.arguments, step.keywords, result))
                visit(step.function, called)

    visit(len(graph.functions) - 1, root)
    return calls


def _root_call(binding: Binding) -> CapturedCall:
    """The call of the model itself. An input whose name is a number is passed by position."""
    inputs = dict.fromkeys(binding.graph.inputs, Value(0))
    args = [value for name, value in inputs.items() if name.isdigit()]
    kwargs = {name: value for name, value in inputs.items() if not name.isdigit()}
    return CapturedCall(args, kwargs, binding.graph.main_function.result)


def has_tensor(value: Any) -> bool:
    """Whether a call passes a tensor in this argument."""
    return bool(leaves(value, Value))
