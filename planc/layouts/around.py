"""One boundary around modules that each bring the same value together."""

from __future__ import annotations

from typing import Any

from planc.ir.diagnostic import Edit, Fix
from planc.ir.graph import Call, ModelGraph, Value
from planc.layouts.lines import Lines, starred, written
from planc.layouts.outcome import Waste


def around(lines: Lines, module: str, change: str, *more: Edit) -> Fix | None:
    """A boundary around a module and all that are like it."""
    key = _first_port(lines.binding.graph, module)
    if not module or key is None or lines.rule(module) is not None:
        return None
    alike = [name for name in lines.binding.graph.names if starred(name) == starred(module)]
    return lines.added(lines.patterns(alike), f"inputs({key}: {change})", *more)


def once(waste: Waste, module: str, lines: Lines) -> Fix | None:
    """One boundary around the modules that each bring a value together."""
    rules = [rule for rule in (waste.rule, *waste.others) if rule is not None]
    said = {written(rule, "input") for rule in rules}
    if len(said) > 1:
        return None
    (arrives,) = said
    edits = [Edit(rule.place.label("", "input").span, "replicate") for rule in rules if arrives]
    return around(lines, module.rpartition(".")[0], f"{arrives or 'replicate'} -> replicate", *edits)


def _first_port(graph: ModelGraph, module: str) -> str | int | None:
    """How a module gets its first tensor: a position or a keyword."""
    function, rest = graph.main, module
    while True:
        calls = [step for step in function.steps if isinstance(step, Call)]
        step = next((s for s in calls if rest == s.module or rest.startswith(f"{s.module}.")), None)
        if step is None:
            return None
        if rest == step.module:
            named: list[tuple[str | int, Any]] = [*enumerate(step.arguments), *step.keywords.items()]
            return next((key for key, item in named if isinstance(item, Value)), None)
        function, rest = graph.functions[step.function], rest[len(step.module) + 1 :]
