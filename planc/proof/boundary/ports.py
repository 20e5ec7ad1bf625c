"""The ports of a module's boundary: the tensors of one call whose layout changes there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.blocks import Port, Rule
from planc.ir.graph import Call, Function, ModuleDef, Value, WeightRef
from planc.ir.layout import Layout
from planc.ir.record import Record
from planc.ir.tree import TreePath, leaves_with_paths
from planc.proof.result import RuleField


class BoundaryPort(Record):
    """A tensor that changes its layout at a boundary."""

    tensor: int
    """The number of the tensor: the caller's at an input, the module's own at an output."""
    before: Layout | None
    """The layout that arrives, as the plan declares it; None: any."""
    after: Layout
    rule_field: RuleField
    """The piece of the rule that declares it."""
    name: str
    """Of the port, as `input hidden_states` or `output`."""
    path: TreePath
    """Where the tensor is in the arguments of the call, or in the result."""

    @property
    def is_input(self) -> bool:
        """Whether the tensor enters the module."""
        return self.name.startswith("input")


def input_ports(rule: Rule, module: ModuleDef, call: Call) -> Iterator[BoundaryPort]:
    """The tensors that change their layout on the way into a module.

    A style is about the first tensor; `inputs(...)` names arguments by position or keyword.
    """
    style = rule.style_row
    inner = style.input_of(module.classes) if style else None
    if style is not None and inner is None:
        inner = rule.input  # the style takes any layout: the rule says which
    if inner is not None:
        first = next(argument_tensors(call), None)
        if first is not None:
            path, number = first
            field: RuleField = ("input",) if rule.input else ("style",)
            yield BoundaryPort(number, rule.input or inner, inner, field, "input", path)
    for i, port in enumerate(rule.inputs):
        for path, number in argument_tensors(call):
            if path[0] == port.key:
                name = f"input {port.key}"
                yield BoundaryPort(number, port.before, port.after, ("inputs", i), name, path)


def output_ports(rule: Rule, function: Function) -> Iterator[BoundaryPort]:
    """The tensors that change their layout on the way out of a module.

    A style is about the first tensor; `outputs(...)` names pieces of the result by position or key.
    """
    style = rule.style_row
    if style is not None and (rule.output is not None or style.local_output is not None):
        inner = style.local_output or style.output
        outer = rule.output or style.output
        first = next(tensor_paths(function.result), None)
        if first is not None and outer is not None:
            path, number = first
            field: RuleField = ("output",) if rule.output else ("style",)
            yield BoundaryPort(number, inner, outer, field, "output", path)
    for i, port in enumerate(rule.outputs):
        for path, number in tensor_paths(function.result):
            if _matches_port(function.result, path, port):
                name = f"output {port.key}"
                yield BoundaryPort(number, port.before, port.after, ("outputs", i), name, path)


def argument_tensors(call: Call) -> Iterator[tuple[TreePath, int]]:
    """The tensors among the arguments of a call, with their paths."""
    yield from tensor_paths(call.arguments)
    yield from tensor_paths(call.keywords)


def tensor_paths(item: Any) -> Iterator[tuple[TreePath, int]]:
    """The tensors in an argument or a result, with their paths."""
    return ((path, value.number) for path, value in leaves_with_paths(item, Value))


def parameter_paths(item: Any) -> Iterator[TreePath]:
    """The paths of parameters in an argument or a result: a boundary never changes these."""
    return (path for path, _ in leaves_with_paths(item, WeightRef))


def _matches_port(result: Any, path: TreePath, port: Port) -> bool:
    """Whether a path leads into the piece of a result that a port names.

    A single tensor is piece 0 of its result; the pieces of a mapping have numbers as well as keys.
    """
    if not path:
        return port.key == 0
    if path[0] == port.key:
        return True
    keys = list(result) if isinstance(result, Mapping) else []
    return isinstance(port.key, int) and port.key < len(keys) and keys[port.key] == path[0]
