"""One boundary around modules that each bring the same value together."""

from __future__ import annotations

from typing import Any

from planc.fixes.edit_plan import PlanEditor, layout_source, numbers_to_wildcards
from planc.ir.diagnostic import Edit, Fix
from planc.ir.graph import Call, ModelGraph, Value
from planc.proof.result import RedundantCollective


def enclose_in_boundary(lines: PlanEditor, module: str, change: str, *more: Edit) -> Fix | None:
    """A boundary around a module and all that are like it."""
    key = _first_tensor_argument(lines.binding.graph, module)
    if not module or key is None or lines.rule_for_name(module) is not None:
        return None
    alike = [
        name
        for name in lines.binding.graph.modules_by_name
        if numbers_to_wildcards(name) == numbers_to_wildcards(module)
    ]
    return lines.add_rules(lines.patterns_for(alike), f"inputs({key}: {change})", *more)


def share_gather(waste: RedundantCollective, module: str, lines: PlanEditor) -> Fix | None:
    """One boundary around the modules that each bring a value together."""
    rules = [rule for rule in (waste.rule, *waste.others) if rule is not None]
    said = {layout_source(rule, "input") for rule in rules}
    if len(said) > 1:
        return None
    (arrives,) = said
    edits = [Edit(rule.location.label("", "input").span, "replicate") for rule in rules if arrives]
    return enclose_in_boundary(
        lines, module.rpartition(".")[0], f"{arrives or 'replicate'} -> replicate", *edits
    )


def _first_tensor_argument(graph: ModelGraph, module: str) -> str | int | None:
    """How a module gets its first tensor: a position or a keyword."""
    function, rest = graph.main_function, module
    while True:
        calls = [step for step in function.steps if isinstance(step, Call)]
        step = next((s for s in calls if rest == s.module or rest.startswith(f"{s.module}.")), None)
        if step is None:
            return None
        if rest == step.module:
            named: list[tuple[str | int, Any]] = [*enumerate(step.arguments), *step.keywords.items()]
            return next((key for key, item in named if isinstance(item, Value)), None)
        function, rest = graph.functions[step.function], rest[len(step.module) + 1 :]
