"""The types of parameters on one axis, by the styles and the `params(...)` of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from planc.bind.binding import Binding, BoundModule
from planc.bind.param_shards import buffer_shard, is_deferred_bias, param_layout, param_shard
from planc.ir.blocks import Rule
from planc.ir.expr import EvalError, evaluate
from planc.ir.graph import ModuleDef
from planc.ir.lowered import LoweredParam
from planc.ir.resolved import Located
from planc.ir.styles import StyledClass
from planc.proof.types import CONSTANT, DEFERRED_BIAS, INVARIANT, REPLICATED, SpmdType, packed_shard, sharded

FOLLOWS_INPUT = SpmdType("replicate (gradient: as its inputs)")
"""A parameter whose gradient is partial if the module's inputs differ between ranks, and full if not."""


class ParamTypes:
    """The types of the parameters of every module, computed once for equal modules.

    Args:
        binding: the plan and the model.
        block: the number of the block whose rules shard parameters on the axis; None: no block does.
        ranks: the size of the axis.
    """

    def __init__(self, binding: Binding, block: int | None, ranks: int) -> None:
        self.binding, self.block, self.ranks = binding, block, ranks
        self._cache: dict[int, Mapping[str, SpmdType]] = {}

    def rule_of(self, bound: BoundModule) -> Located | None:
        """The rule of a module on this axis."""
        return None if self.block is None else self.binding.entry_for(bound, self.block)

    def types_of(self, bound: BoundModule) -> Mapping[str, SpmdType]:
        """The type of each parameter of a module, by its name; without a block, all are replicated."""
        types = self._cache.get(id(bound))
        if types is None:
            located = self.rule_of(bound)
            types = self._cache[id(bound)] = {
                name: REPLICATED if self.block is None else self._type(bound.module, name, located)
                for name in bound.module.parameters
            }
        return types

    def buffer_type(self, bound: BoundModule, name: str) -> SpmdType:
        """The type of a buffer of a module, while the module's own code runs; elsewhere all of it is there."""
        located = self.rule_of(bound)
        shard = buffer_shard(None if located is None else located.value, bound.module, name)
        return CONSTANT if shard is None else _sharded_type(shard)

    def masks_lookup(self, bound: BoundModule) -> bool:
        """Whether the style of a module shards a table by rows: each rank looks up its own rows, and returns zeros
        for the others."""
        row = self._style_row(bound)
        return row is not None and row.masked_lookup

    def row_attributes(self, bound: BoundModule) -> tuple[tuple[str, ...], bool]:
        """The attributes of a module that name a row of such a table; whether it is of torch's own class, whose
        attributes are plain numbers in a graph."""
        row = self._style_row(bound)
        return ((), False) if row is None else (row.row_attributes, bound.module.class_name == row.class_name)

    def _style_row(self, bound: BoundModule) -> StyledClass | None:
        located = self.rule_of(bound)
        style = located.value.style_row if located is not None else None
        return None if style is None else style.row_for(bound.module.classes)

    def local_attribute(self, bound: BoundModule, name: str, global_value: float) -> int | float:
        """The value of an attribute on each rank: what `attributes(...)` says, else what the style divides it to."""
        located = self.rule_of(bound)
        if located is None:
            return global_value
        for attribute in located.value.attributes:
            if attribute.name == name:
                try:
                    value = evaluate(attribute.value, self.binding.resolved.values)
                except EvalError:
                    return global_value
                return value if type(value) is int else global_value
        row = self._style_row(bound)
        is_divided = row is not None and name in row.divided_attributes
        return global_value // self.ranks if is_divided else global_value

    def _type(self, module: ModuleDef, name: str, located: Located | None) -> SpmdType:
        if located is None:
            return INVARIANT
        rule: Rule = located.value
        shard = param_shard(rule, module, name, self.binding.resolved.values)
        if shard is not None and shard.dim is not None:
            return _sharded_type(shard)
        if param_layout(rule, module, name) is None:
            return INVARIANT
        if is_deferred_bias(rule, module, name):
            return DEFERRED_BIAS
        style = rule.style_row
        is_listed = any(param.name == name for param in rule.params)
        return FOLLOWS_INPUT if is_listed or style is None or style.input is None else REPLICATED


def _sharded_type(shard: LoweredParam) -> SpmdType:
    if shard.dim is None:
        return CONSTANT
    return packed_shard(shard.dim, shard.part_sizes) if shard.part_sizes else sharded(shard.dim)
