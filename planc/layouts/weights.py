"""The types of parameters: what styles and `params(...)` make of them on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planc.blocks.tensor import Rule
from planc.ir.expr import EvalFault, evaluate
from planc.ir.graph import ModuleDef, TensorInfo
from planc.ir.layout import Layout, Shard
from planc.ir.settled import Placed
from planc.layouts.types import INVARIANT, LATE, REPLICATED, Type, packed, split
from planc.resolve.bind import Binding, Bound
from planc.styles import STYLES, Style, Weight

ADAPTING = Type("replicate, as its inputs are")
"""A parameter whose gradient is in parts where what the module takes differs between
ranks, and whole where it does not."""


class Weights:
    """The types of the parameters of every module, found once for modules that are alike."""

    def __init__(self, binding: Binding, block: int | None, ranks: int) -> None:
        self.binding, self.block, self.ranks = binding, block, ranks
        self._known: dict[int, Mapping[str, Type]] = {}

    def rule(self, bound: Bound) -> Placed | None:
        """The rule of a module on this axis."""
        return None if self.block is None else self.binding.entry(bound, self.block)

    def of(self, bound: Bound) -> Mapping[str, Type]:
        """The type of each parameter of a module; where the batch is split, all are replicated."""
        found = self._known.get(id(bound))
        if found is None:
            placed = self.rule(bound)
            found = self._known[id(bound)] = {
                name: REPLICATED if self.block is None else self._type(bound.module, name, info, placed)
                for name, info in bound.module.parameters.items()
            }
        return found

    def attribute(self, bound: Bound, name: str, whole: float) -> int | float:
        """What each rank's module has for an attribute: what the plan says, else its style's share."""
        placed = self.rule(bound)
        if placed is None:
            return whole
        for attribute in placed.value.attributes:
            if attribute.name == name:
                try:
                    value = evaluate(attribute.value, self.binding.settled.values)
                except EvalFault:
                    return whole
                return value if type(value) is int else whole
        style = STYLES.get(placed.value.style) if placed.value.style else None
        classes = (bound.module.class_name, *bound.module.bases)
        shared = style is not None and any(row[0] in classes and row[1] == name for row in style.shares)
        return whole // self.ranks if shared else whole

    def _type(self, module: ModuleDef, name: str, info: TensorInfo, placed: Placed | None) -> Type:
        if placed is None:
            return INVARIANT
        rule: Rule = placed.value
        for param in rule.params:
            if param.name == name:
                return _param(param.layout, info)
        style = STYLES.get(rule.style) if rule.style else None
        row = None if style is None else weight_row(style, module, name)
        if style is None or row is None:
            return INVARIANT
        if row.late:
            return LATE
        whole = ADAPTING if style.input is None else REPLICATED
        if rule.parts and isinstance(row.layout, Shard):
            dim = row.layout.dim % len(info.shape)
            sizes = part_sizes(rule, info.shape[dim], self.binding.settled.values)
            if sizes is not None and len(sizes) > 1:
                return packed(dim, sizes)
        return split(row.layout.dim % len(info.shape)) if isinstance(row.layout, Shard) else whole


def _param(layout: Layout, info: TensorInfo) -> Type:
    """The type of a parameter that `params(...)` lays out."""
    if not isinstance(layout, Shard):
        return ADAPTING
    dim = layout.dim % len(info.shape)
    if layout.parts == 1:
        return split(dim)
    return packed(dim, (info.shape[dim] // layout.parts,) * layout.parts)


def weight_row(style: Style, module: ModuleDef, name: str) -> Weight | None:
    """The row of a style for a parameter of a module."""
    for class_name in (module.class_name, *module.bases, "*"):
        for row in style.weights:
            if row.module == class_name and row.param in (name, "*"):
                return row
    return None


def part_sizes(rule: Rule, size: int, values: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The sizes of the parts of a fused dim; None where its parts do not fill it evenly."""
    try:
        shares = [evaluate(part.size, values) for part in rule.parts]
    except EvalFault:
        return None
    if any(type(share) is not int or share <= 0 for share in shares):
        return None
    counts = [int(share) for share in shares if share is not None]
    if len(rule.parts) == 1 and rule.parts[0].name is None:
        counts = [1] * min(counts[0], size)
    total = sum(counts)
    return tuple(size // total * count for count in counts) if size % total == 0 else None
