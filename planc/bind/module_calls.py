"""Which modules the model's code calls, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Value
from planc.ir.record import Record


class CapturedCall(Record):
    """One call of a module: what it is given, and what it gives."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any


def module_calls(binding: Binding) -> dict[BoundModule, list[CapturedCall]]:
    """Every call in the captured run by the module that is called; equal ones once."""
    graph, root = binding.graph, binding.root
    found: dict[BoundModule, list[CapturedCall]] = {root: [_root_call(binding)]}
    seen: set[tuple[int, BoundModule]] = set()
    said: set[tuple[int, BoundModule, int]] = set()

    def visit(number: int, bound: BoundModule) -> None:
        if (number, bound) in seen:
            return
        seen.add((number, bound))
        for step in graph.functions[number].steps:
            if isinstance(step, Call):
                below = step.module
                called = (
                    root.find_submodule(below[1:]) if below.startswith("/") else bound.find_submodule(below)
                )
                if called is None:
                    continue
                if (number, called, step.function) not in said:
                    said.add((number, called, step.function))
                    result = graph.functions[step.function].result
                    found.setdefault(called, []).append(CapturedCall(step.arguments, step.keywords, result))
                visit(step.function, called)

    visit(len(graph.functions) - 1, root)
    return found


def _root_call(binding: Binding) -> CapturedCall:
    """The call of the model itself: its inputs by keyword, or by position written as a number."""
    inputs = dict.fromkeys(binding.graph.inputs, Value(0))
    positions = [value for name, value in inputs.items() if name.isdigit()]
    keywords = {name: value for name, value in inputs.items() if not name.isdigit()}
    return CapturedCall(positions, keywords, binding.graph.main_function.result)


def has_tensor(value: Any) -> bool:
    """Whether a tensor is in what a call hands over."""
    if isinstance(value, Value):
        return True
    if isinstance(value, Mapping):
        return any(map(has_tensor, value.values()))
    return isinstance(value, tuple | list) and any(map(has_tensor, value))
