"""The shards of parameters on an axis, by the rule of their module."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.blocks import Rule
from planc.ir.expr import EvalError, ExprValue, evaluate
from planc.ir.graph import ModuleDef
from planc.ir.layout import Layout, Shard
from planc.ir.lowered import LoweredParam
from planc.ir.styles import Style, StyleParam


def weight_rows(style: Style, module: ModuleDef) -> Mapping[str, StyleParam] | None:
    """What a style says of each parameter of a module, by the first of its classes that the style knows;
    None where it knows none of them."""
    row = style.row_for(module.classes)
    if row is None:
        return None
    params = {param.name: param for param in row.params}
    every = params.get("*")
    if every is not None:
        return dict.fromkeys(module.parameters, every)
    return {name: params[name] for name in module.parameters if name in params}


def is_deferred_bias(rule: Rule, module: ModuleDef, name: str) -> bool:
    """Whether a parameter is added once, after the reduction of the module's output."""
    style = rule.style_row
    row = (weight_rows(style, module) or {}).get(name) if style is not None else None
    return row is not None and row.deferred_bias and not any(param.name == name for param in rule.params)


def param_layout(rule: Rule, module: ModuleDef, name: str) -> Layout | None:
    """The layout that a rule gives to a parameter; None where it gives none."""
    for param in rule.params:
        if param.name == name:
            return param.layout
    style = rule.style_row
    row = (weight_rows(style, module) or {}).get(name) if style is not None else None
    return None if row is None else row.layout


def param_shard(
    rule: Rule | None, module: ModuleDef, name: str, values: Mapping[str, ExprValue]
) -> LoweredParam | None:
    """How a rule shards a parameter; None where every rank holds all of it.

    A rule for a dim that the parameter does not have shards nothing: another check reports it. Parts that do
    not fill the dim are left out for the same reason.

    Args:
        rule: the rule of the module, if it has one.
        module: the module that owns the parameter.
        name: the parameter.
        values: the values of names in expressions.
    """
    if rule is None:
        return None
    layout = param_layout(rule, module, name)
    return _shard(layout, module.parameters[name].shape, shard_parts(rule, name, values))


def buffer_shard(rule: Rule | None, module: ModuleDef, name: str) -> LoweredParam | None:
    """How a rule shards a buffer; None where every rank holds all of it."""
    layout = next((b.layout for b in rule.buffers if b.name == name), None) if rule is not None else None
    return _shard(layout, module.buffers[name].shape, buffer_parts(layout))


def buffer_parts(layout: Layout | None) -> tuple[int, ...]:
    """The relative sizes of the parts of a buffer's dim; empty: it is one part."""
    return (1,) * layout.parts if isinstance(layout, Shard) and layout.parts > 1 else ()


def _shard(layout: Layout | None, shape: tuple[int, ...], parts: tuple[int, ...]) -> LoweredParam | None:
    if not isinstance(layout, Shard) or not -len(shape) <= layout.dim < len(shape):
        return None
    dim, total = layout.dim % len(shape), sum(parts)
    if len(parts) < 2 or shape[dim] % total:
        return LoweredParam(dim)
    return LoweredParam(dim, tuple(shape[dim] // total * part for part in parts))


def shard_parts(rule: Rule, name: str, values: Mapping[str, ExprValue]) -> tuple[int, ...]:
    """The relative sizes of the parts of a parameter's dim, each of which is sharded by itself; empty: the
    dim is one part, or the parts have no value."""
    own = next((param.layout for param in rule.params if param.name == name), None)
    if own is None:
        return packed_parts(rule, values) or ()
    return buffer_parts(own)


def format_shard(shard: LoweredParam | None) -> str:
    """A layout in words: `replicate`, `shard(0)`, or `shard(0) in parts 32 : 8 : 8`."""
    if shard is None:
        return "replicate"
    parts = f" in parts {' : '.join(map(str, shard.part_sizes))}" if shard.part_sizes else ""
    return f"shard({shard.dim}){parts}"


def packed_parts(rule: Rule, values: Mapping[str, ExprValue]) -> tuple[int, ...] | None:
    """The relative sizes of the parts of a fused projection; None where they have no value.
    A single number without a name is a number of equal parts."""
    sizes: list[int] = []
    for part in rule.parts:
        try:
            size = evaluate(part.size, values)
        except EvalError:
            return None  # another check reports it
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            return None
        sizes.append(size)
    if len(sizes) == 1 and rule.parts[0].name is None:
        return (1,) * sizes[0] if sizes[0] <= MAX_PARTS else None
    return tuple(sizes)


MAX_PARTS = 100_000
"""The largest number of equal parts of a projection."""
