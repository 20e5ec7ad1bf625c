"""The boundaries of one call of a module: which tensors, from which layout to which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.blocks.tensor import Port, Rule
from planc.ir.graph import Call, Function, ModuleDef, Value
from planc.ir.layout import Layout
from planc.ir.record import Record
from planc.styles import STYLES, Style


class Crossing(Record):
    """A tensor that passes a boundary."""

    number: int
    """Of the tensor: the caller's at an input, the module's own at an output."""
    before: Layout | None
    """What the plan says it is; None: it is taken as it comes."""
    after: Layout
    field: str
    """The piece of the rule that says so."""
    name: str
    """The port, for people."""


def style_of(rule: Rule) -> Style | None:
    return STYLES.get(rule.style) if rule.style else None


def takes(style: Style, module: ModuleDef) -> Layout | None:
    """What the computation of a styled module takes."""
    for class_name in (module.class_name, *module.bases):
        for name, layout in style.takes:
            if name == class_name:
                return layout
    return style.input


def entering(rule: Rule, module: ModuleDef, call: Call) -> Iterator[Crossing]:
    """The tensors that change their layout on the way in."""
    style = style_of(rule)
    inner = takes(style, module) if style else None
    if style is not None and inner is None:
        inner = rule.input  # it takes what comes, and the rule says what that is
    if inner is not None:
        first = next(_numbers((call.arguments, call.keywords)), None)
        if first is not None:
            yield Crossing(first, rule.input or inner, inner, "input" if rule.input else "style", "input")
    for i, port in enumerate(rule.inputs):
        for number in _numbers(_argument(call, port.key)):
            yield Crossing(number, port.before, port.after, f"inputs/{i}", f"input {port.key}")


def leaving(rule: Rule, function: Function) -> Iterator[Crossing]:
    """The tensors that change their layout on the way out."""
    style = style_of(rule)
    if style is not None and (rule.output is not None or style.raw is not None):
        raw = style.raw or style.output
        outer = rule.output or style.output
        first = next(_numbers(function.result), None)
        if first is not None and outer is not None:
            yield Crossing(first, raw, outer, "output" if rule.output else "style", "output")
    for i, port in enumerate(rule.outputs):
        for number in _numbers(_result(function.result, port)):
            yield Crossing(number, port.before, port.after, f"outputs/{i}", f"output {port.key}")


def _argument(call: Call, key: str | int) -> Any:
    """The argument with a position or a keyword."""
    if isinstance(key, int):
        return call.arguments[key] if key < len(call.arguments) else None
    return call.keywords.get(key)


def _result(result: Any, port: Port) -> Any:
    """The piece of what a module returns that a port names; a single tensor is its first result."""
    if isinstance(result, Mapping):
        keys = list(result)
        name = port.key if port.key in result else None
        if isinstance(port.key, int) and port.key < len(keys):
            name = keys[port.key]
        return None if name is None else result[name]
    if isinstance(result, tuple):
        key = port.key
        return result[key] if isinstance(key, int) and key < len(result) else None
    return result if port.key == 0 else None


def _numbers(item: Any) -> Iterator[int]:
    """The tensors in an argument or a result."""
    if isinstance(item, Value):
        yield item.number
    elif isinstance(item, tuple):
        for part in item:
            yield from _numbers(part)
    elif isinstance(item, Mapping):
        for part in item.values():
            yield from _numbers(part)
