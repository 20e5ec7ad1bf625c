"""Which modules the model's code calls, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planc.ir.graph import Call, Value
from planc.ir.record import Record
from planc.resolve.bind import Binding, Bound


class Handed(Record):
    """One call of a module: what it is given, and what it gives."""

    arguments: Sequence[Any]
    keywords: Mapping[str, Any]
    result: Any


def calls(binding: Binding) -> dict[Bound, list[Handed]]:
    """Every call in the captured run by the module that is called; equal ones once."""
    graph, root = binding.graph, binding.root
    found: dict[Bound, list[Handed]] = {root: [_of_model(binding)]}
    seen: set[tuple[int, Bound]] = set()
    said: set[tuple[int, Bound, int]] = set()

    def visit(number: int, bound: Bound) -> None:
        if (number, bound) in seen:
            return
        seen.add((number, bound))
        for step in graph.functions[number].steps:
            if isinstance(step, Call):
                below = step.module
                called = root.below(below[1:]) if below.startswith("/") else bound.below(below)
                if called is None:
                    continue
                if (number, called, step.function) not in said:
                    said.add((number, called, step.function))
                    result = graph.functions[step.function].result
                    found.setdefault(called, []).append(Handed(step.arguments, step.keywords, result))
                visit(step.function, called)

    visit(len(graph.functions) - 1, root)
    return found


def _of_model(binding: Binding) -> Handed:
    """The call of the model itself: its inputs by keyword, or by position written as a number."""
    inputs = dict.fromkeys(binding.graph.inputs, Value(0))
    positions = [value for name, value in inputs.items() if name.isdigit()]
    keywords = {name: value for name, value in inputs.items() if not name.isdigit()}
    return Handed(positions, keywords, binding.graph.main.result)


def has_tensor(value: Any) -> bool:
    """Whether a tensor is in what a call hands over."""
    if isinstance(value, Value):
        return True
    if isinstance(value, Mapping):
        return any(map(has_tensor, value.values()))
    return isinstance(value, tuple | list) and any(map(has_tensor, value))
