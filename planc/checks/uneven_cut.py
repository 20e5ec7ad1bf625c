"""A parameter that the ranks of an axis cannot share evenly.

Every rank holds an equal shard of a sharded parameter, so the size of the sharded dim is a
multiple of the size of the axis. Each part of a fused projection is sharded by itself: the
parts fill the dim in proportion, and the size of each is such a multiple. This law does not
look at heads: the proof finds a shard boundary inside of one.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 3):

    mesh tp
    tensor tp {
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 4):

    mesh tp
    tensor tp {
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, axis_size, location_note, rules_with_modules
from planc.bind.param_shards import param_shard, shard_parts
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import ExprValue
from planc.ir.graph import ModuleDef
from planc.ir.record import Record
from planc.ir.resolved import Settings


class UnevenParameter(Record):
    """A parameter that the ranks cannot share evenly."""

    field: tuple[str | int, ...]
    """The field of the rule that shards it."""
    got: str
    needed: str
    sizes: tuple[int, ...]
    """The sizes that the size of the axis must divide."""
    param: str


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for block, entry, groups in rules_with_modules(binding, Rule):
        ranks, axis = axis_size(binding, block), block.axes[0].value
        uneven: dict[UnevenParameter, list[ModuleGroup]] = {}
        for group in groups if ranks > 1 else ():
            for shard in _uneven_shards(entry.value, group.bound.module, ranks, binding.resolved.values):
                uneven.setdefault(shard, []).append(group)
        for shard, matching in uneven.items():
            fitting = [n for n in range(1, ranks) if all(size % n == 0 for size in shard.sizes)]
            fits = f"help: sizes of '{axis}' that fit: {', '.join(map(str, fitting[-5:]))}"
            yield diagnostic("F604", entry.location.label(shard.got, *shard.field),
                         f"'{shard.param}' cannot be cut into {ranks} equal shards on axis '{axis}'",
                         location_note(matching), f"needed: {shard.needed}", *[fits] * bool(shard.sizes),
                         module=matching[0].name)  # fmt: skip


def _uneven_shards(
    rule: Rule, module: ModuleDef, ranks: int, values: Mapping[str, ExprValue]
) -> Iterator[UnevenParameter]:
    """The uneven shards of one module: of a weight and a bias that one field shards, the first."""
    reported: set[tuple[str | int, ...]] = set()
    for name, info in module.parameters.items():
        shard = param_shard(rule, module, name, values)
        if shard is None or shard.dim is None:
            continue
        size, dim = info.shape[shard.dim], f"dim {shard.dim} of {list(info.shape)}"
        uneven = _uneven_shard(rule, name, size, dim, shard_parts(rule, name, values), ranks)
        if uneven is not None and uneven.field not in reported:
            reported.add(uneven.field)
            yield uneven


def _uneven_shard(
    rule: Rule, name: str, size: int, dim: str, parts: tuple[int, ...], ranks: int
) -> UnevenParameter | None:
    number = next((i for i, param in enumerate(rule.params) if param.name == name), None)
    field: tuple[str | int, ...] = ("style",) if number is None else ("params", number)
    is_packed = number is None and bool(rule.parts)
    if is_packed and not parts:
        return None  # its parts have no value: another check reports that
    total = sum(parts) or 1
    if size % total:
        return UnevenParameter(("parts", 0) if is_packed else field, f"{total} shares of {dim}, which is {size}",
                           f"parts whose sum divides {size}", (), name)  # fmt: skip
    sizes = tuple(part * (size // total) for part in parts) or (size,)
    uneven = next((i for i, part in enumerate(sizes) if part % ranks), None)
    if uneven is None:
        return None
    if not parts:
        return UnevenParameter(field, f"{dim} is {size}", f"a multiple of {ranks}", sizes, name)
    part = min(uneven, len(rule.parts) - 1)
    part_name = (is_packed and rule.parts[part].name) or "each part"
    return UnevenParameter(("parts", part) if is_packed else field, f"{part_name} has {sizes[uneven]} of {dim}",
                       f"a multiple of {ranks} in each part", sizes, name)  # fmt: skip
