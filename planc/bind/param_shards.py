"""How the parameters of a module lie on an axis, by the rule that governs it."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.blocks import Rule
from planc.ir.expr import EvalError, ExprValue, evaluate
from planc.ir.graph import ModuleDef
from planc.ir.layout import Layout, Shard
from planc.ir.record import Record
from planc.ir.styles import Style, StyleParam


class ParamShard(Record):
    """A parameter that is cut along a dim."""

    dim: int
    """Counted from the first."""
    parts: tuple[int, ...] = ()
    """Sizes of the parts that are cut each by itself, in proportion; empty: one part."""

    def __str__(self) -> str:
        packed = f" in parts {' : '.join(map(str, self.parts))}" if self.parts else ""
        return f"shard({self.dim}){packed}"


def weight_rows(style: Style, module: ModuleDef) -> Mapping[str, StyleParam] | None:
    """The rows of a style for the parameters of a module, by its nearest class; None where it
    knows no class of it."""
    row = style.row_for(module.classes)
    if row is None:
        return None
    params = {param.name: param for param in row.params}
    every = params.get("*")
    if every is not None:
        return dict.fromkeys(module.parameters, every)
    return {name: params[name] for name in module.parameters if name in params}


def is_deferred_bias(rule: Rule, module: ModuleDef, name: str) -> bool:
    """Whether a parameter is added once, after the sum that its module leaves."""
    style = rule.style_row
    row = (weight_rows(style, module) or {}).get(name) if style is not None else None
    return row is not None and row.deferred_bias and not any(param.name == name for param in rule.params)


def param_layout(rule: Rule, module: ModuleDef, name: str) -> Layout | None:
    """What a rule says of a parameter; None where it says nothing."""
    for param in rule.params:
        if param.name == name:
            return param.layout
    style = rule.style_row
    row = (weight_rows(style, module) or {}).get(name) if style is not None else None
    return None if row is None else row.layout


def param_shard(
    rule: Rule | None, module: ModuleDef, name: str, values: Mapping[str, ExprValue]
) -> ParamShard | None:
    """How a parameter is cut, or None where each rank holds all of it.

    A dim that the parameter does not have cuts nothing: a law of its own says so."""
    layout = param_layout(rule, module, name) if rule is not None else None
    dims = len(module.parameters[name].shape)
    if rule is None or not isinstance(layout, Shard) or not -dims <= layout.dim < dims:
        return None
    if any(param.name == name for param in rule.params):
        return ParamShard(layout.dim % dims, (1,) * layout.parts if layout.parts > 1 else ())
    return ParamShard(layout.dim % dims, packed_parts(rule, values) or ())


def packed_parts(rule: Rule, values: Mapping[str, ExprValue]) -> tuple[int, ...] | None:
    """The parts of a fused projection, in proportion; None where they have no value.
    One number without a name counts equal parts."""
    sizes: list[int] = []
    for part in rule.parts:
        try:
            size = evaluate(part.size, values)
        except EvalError:
            return None  # said where arguments are checked
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            return None
        sizes.append(size)
    if len(sizes) == 1 and rule.parts[0].name is None:
        return (1,) * sizes[0] if sizes[0] <= MAX_PARTS else None
    return tuple(sizes)


MAX_PARTS = 100_000
"""Equal parts of one projection: more than any has, and few enough to write out."""
