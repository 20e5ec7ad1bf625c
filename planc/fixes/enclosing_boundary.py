"""One boundary around modules that each gather the same value."""

from __future__ import annotations

from typing import Any

from planc.fixes.edit_plan import PlanEditor, layout_source, numbers_to_wildcards
from planc.ir.diagnostic import Edit, Fix
from planc.ir.graph import Call, ModelGraph, Value
from planc.proof.result import RedundantCollective


def enclose_in_boundary(editor: PlanEditor, module: str, change: str, *more: Edit) -> Fix | None:
    """A boundary around a module and all layers like it.

    Args:
        editor: the plan.
        module: the module.
        change: what the boundary does to the first tensor, as `shard(1) -> replicate`.
        more: further edits of the same fix.
    """
    key = _first_tensor_argument(editor.binding.graph, module)
    if not module or key is None or editor.rule_for_name(module) is not None:
        return None
    pattern = numbers_to_wildcards(module)
    alike = [name for name in editor.binding.graph.modules_by_name if numbers_to_wildcards(name) == pattern]
    return editor.add_rules(editor.patterns_for(alike), f"inputs({key}: {change})", *more)


def share_gather(redundant: RedundantCollective, module: str, editor: PlanEditor) -> Fix | None:
    """One boundary around the modules that each gather a value; `module` is the first of them."""
    rules = [rule for rule in (redundant.rule, *redundant.others) if rule is not None]
    inputs = {layout_source(rule, "input") for rule in rules}
    if len(inputs) > 1:
        return None
    (arriving,) = inputs
    edits = [Edit(rule.location.label("", "input").span, "replicate") for rule in rules if arriving]
    parent = module.rpartition(".")[0]
    return enclose_in_boundary(editor, parent, f"{arriving or 'replicate'} -> replicate", *edits)


def _first_tensor_argument(graph: ModelGraph, module: str) -> str | int | None:
    """The position or the keyword by which a module gets its first tensor."""
    function, rest = graph.main_function, module
    while True:
        calls = [step for step in function.steps if isinstance(step, Call)]
        step = next((s for s in calls if rest == s.module or rest.startswith(f"{s.module}.")), None)
        if step is None:
            return None
        if rest == step.module:
            arguments: list[tuple[str | int, Any]] = [*enumerate(step.arguments), *step.keywords.items()]
            return next((key for key, item in arguments if isinstance(item, Value)), None)
        function, rest = graph.functions[step.function], rest[len(step.module) + 1 :]
