"""The types of parameters: what styles and `params(...)` make of them on one axis."""

from __future__ import annotations

from collections.abc import Mapping

from planc.blocks.tensor import Rule
from planc.ir.expr import EvalFault, evaluate
from planc.ir.graph import ModuleDef, TensorInfo
from planc.ir.settled import Placed
from planc.layouts.types import INVARIANT, LATE, REPLICATED, Type, packed, split
from planc.resolve.bind import Binding, Bound
from planc.resolve.weights import Cut, cut_of, is_late, layout_of
from planc.styles import STYLES

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
        cut = cut_of(rule, module, name, self.binding.settled.values)
        if cut is not None:
            return _shares(cut, info)
        if layout_of(rule, module, name) is None:
            return INVARIANT
        if is_late(rule, module, name):
            return LATE
        style = STYLES.get(rule.style) if rule.style else None
        own = any(param.name == name for param in rule.params)
        return ADAPTING if own or style is None or style.input is None else REPLICATED


def _shares(cut: Cut, info: TensorInfo) -> Type:
    """The type of a parameter that is cut; parts that do not fill its dim are no parts."""
    size, total = info.shape[cut.dim], sum(cut.parts)
    if len(cut.parts) < 2 or size % total:
        return split(cut.dim)
    return packed(cut.dim, tuple(size // total * part for part in cut.parts))
