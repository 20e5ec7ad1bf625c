"""A boundary of the whole model that sums the gradient of an input."""

from __future__ import annotations

from planc.fixes.edit_plan import PlanEditor, label_after
from planc.ir.diagnostic import Edit, Fix
from planc.ir.graph import INDEX_NODES, Call, Function, Op, Value
from planc.ir.tree import leaves
from planc.proof.result import Violation


def sum_input_gradient(editor: PlanEditor, module: str, violation: Violation) -> Fix | None:
    """`inputs(NAME: replicate -> replicate)` at the root, for an input of the model that needs a gradient and that an
    operation uses with a sharded value.

    Args:
        module: the module whose code has the operation.
        violation: what the operation violates.
    """
    if violation.point.kind != "operation":
        return None
    graph = editor.binding.graph
    chain = _calls_to(graph.functions, graph.main_function, module)
    if chain is None:
        return None
    function = chain[-1][0]
    used = {
        number
        for step in function.steps
        if isinstance(step, Op) and step.name == violation.point.name
        for number in _inputs_used(function, step)
    }
    for (caller, _), (_, call) in zip(reversed(chain[:-1]), reversed(chain[1:])):
        assert call is not None
        passed = (*call.argument_tensors, *call.free_tensors)
        used = {n for i in used for n in _inputs_behind(caller, passed[i])}
    root = editor.rule_for_name("")
    names = [name for number, name in enumerate(graph.inputs) if number in used and graph.inputs[name].grad]
    if not names or (root is not None and root.value.inputs):
        return None
    declaration = "inputs(" + ", ".join(f"{name}: replicate -> replicate" for name in names) + ")"
    if root is None:
        return editor.add_rules(["root"], declaration)
    label = label_after(root)
    return Fix(f"add '{declaration}'", (Edit(label.span, f" {declaration}"),))


def _calls_to(
    functions: tuple[Function, ...], main: Function, module: str
) -> list[tuple[Function, Call | None]] | None:
    """The functions from the model's to a module's first call, each with the call of it."""
    chain: list[tuple[Function, Call | None]] = [(main, None)]
    rest = module
    while rest:
        calls = (step for step in chain[-1][0].steps if isinstance(step, Call))
        call = next((c for c in calls if rest == c.module or rest.startswith(f"{c.module}.")), None)
        if call is None:
            return None
        chain.append((functions[call.function], call))
        rest = rest[len(call.module) + 1 :]
    return chain


def _inputs_used(function: Function, step: Op) -> set[int]:
    """The inputs of a function that an operation uses, directly or through other operations, but not modules."""
    operands = leaves((step.arguments, step.keywords), Value, into=INDEX_NODES)
    return {number for value in operands for number in _inputs_behind(function, value.number)}


def _inputs_behind(function: Function, number: int) -> set[int]:
    if number < function.inputs:
        return {number}
    made_by = next((s for s in function.steps if isinstance(s, Op) and number in s.results), None)
    return set() if made_by is None else _inputs_used(function, made_by)
