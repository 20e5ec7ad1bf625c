"""The boundaries of one call of a module: which tensors, from which layout to which."""

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
    """A tensor that passes a boundary."""

    tensor: int
    """Of the tensor: the caller's at an input, the module's own at an output."""
    before: Layout | None
    """What the plan says it is; None: it is taken as it comes."""
    after: Layout
    rule_field: RuleField
    """The piece of the rule that says so."""
    name: str
    """Of the port, as `input hidden_states` or `output`."""
    path: TreePath
    """Where the tensor is in the arguments of the call, or in the result."""

    @property
    def is_input(self) -> bool:
        """Whether the tensor enters the module."""
        return self.name.startswith("input")


def input_ports(rule: Rule, module: ModuleDef, call: Call) -> Iterator[BoundaryPort]:
    """The tensors that change their layout on the way in."""
    style = rule.style_row
    inner = style.input_of(module.classes) if style else None
    if style is not None and inner is None:
        inner = rule.input  # it takes what comes, and the rule says what that is
    if inner is not None:
        first = next(argument_tensors(call), None)
        if first is not None:
            field: RuleField = ("input",) if rule.input else ("style",)
            yield BoundaryPort(first[1], rule.input or inner, inner, field, "input", first[0])
    for i, port in enumerate(rule.inputs):
        for place, number in argument_tensors(call):
            if place[0] == port.key:
                name = f"input {port.key}"
                yield BoundaryPort(number, port.before, port.after, ("inputs", i), name, place)


def output_ports(rule: Rule, function: Function) -> Iterator[BoundaryPort]:
    """The tensors that change their layout on the way out."""
    style = rule.style_row
    if style is not None and (rule.output is not None or style.local_output is not None):
        raw = style.local_output or style.output
        outer = rule.output or style.output
        first = next(tensor_paths(function.result), None)
        if first is not None and outer is not None:
            yield BoundaryPort(
                first[1], raw, outer, ("output",) if rule.output else ("style",), "output", first[0]
            )
    for i, port in enumerate(rule.outputs):
        for place, number in tensor_paths(function.result):
            if _matches_port(function.result, place, port):
                name = f"output {port.key}"
                yield BoundaryPort(number, port.before, port.after, ("outputs", i), name, place)


def argument_tensors(call: Call) -> Iterator[tuple[TreePath, int]]:
    """The tensors that a call hands to a module, with their places."""
    yield from tensor_paths(call.arguments)
    yield from tensor_paths(call.keywords)


def tensor_paths(item: Any) -> Iterator[tuple[TreePath, int]]:
    """The tensors in an argument or a result, with their paths."""
    return ((path, value.number) for path, value in leaves_with_paths(item, Value))


def parameter_paths(item: Any) -> Iterator[TreePath]:
    """Where parameters stand in an argument or a result: these pass no boundary."""
    return (path for path, _ in leaves_with_paths(item, WeightRef))


def _matches_port(result: Any, place: TreePath, port: Port) -> bool:
    """Whether a place lies in the piece of a result that a port names; a single tensor is its
    first piece, and the pieces of a mapping have numbers too."""
    if not place:
        return port.key == 0
    if place[0] == port.key:
        return True
    keys = list(result) if isinstance(result, Mapping) else []
    return isinstance(port.key, int) and port.key < len(keys) and keys[port.key] == place[0]
