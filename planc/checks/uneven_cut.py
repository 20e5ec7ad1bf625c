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

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, axis_size, location_note, rules_with_modules
from planc.bind.param_shards import buffer_parts, buffer_shard, param_shard, shard_parts
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import EvalError, ExprValue, evaluate
from planc.ir.graph import ModuleDef
from planc.ir.record import Record
from planc.ir.resolved import Located, Resolved, Settings


class UnevenParameter(Record):
    """A parameter that the ranks cannot share evenly."""

    field: tuple[str | int, ...]
    """The field of the rule that shards it."""
    got: str
    needed: str
    sizes: tuple[int, ...]
    """The sizes that the size of the axis must divide."""
    param: str


class UnevenRule(NamedTuple):
    """What a rule would cut unevenly, and the modules of each such parameter."""

    entry: Located
    shards: dict[UnevenParameter, list[ModuleGroup]]


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    refused = _axes_of_failed_requires(binding.resolved)
    found: dict[tuple[str, int], list[UnevenRule]] = {}
    for block, entry, groups in rules_with_modules(binding, Rule):
        ranks, axis = axis_size(binding, block), block.axes[0].value
        if ranks < 2 or axis in refused or not _shards_parameters(entry.value, groups, binding):
            continue
        uneven: dict[UnevenParameter, list[ModuleGroup]] = {}
        for group in groups:
            for shard in _uneven_shards(entry.value, group.bound.module, ranks, binding.resolved.values):
                uneven.setdefault(shard, []).append(group)
        found.setdefault((axis, ranks), []).append(UnevenRule(entry, uneven))
    for (axis, ranks), rules in found.items():
        sizes = {size for rule in rules for shard in rule.shards for size in shard.sizes}
        if len(rules) > 1 and all(rule.shards and _has_sizes(rule) for rule in rules):
            # No rule fits, so the size of the axis is to blame: it is reported once.
            entry, shards = rules[0]
            yield from islice(_diagnostics(entry, shards, axis, ranks, sizes, len(rules) - 1), 1)
        else:
            for entry, shards in rules:
                yield from _diagnostics(entry, shards, axis, ranks)


def _has_sizes(rule: UnevenRule) -> bool:
    return all(shard.sizes for shard in rule.shards)


def _axes_of_failed_requires(resolved: Resolved) -> frozenset[str]:
    """The axes whose sizes a condition of the plan refuses, which is reported already."""
    names: set[str] = set()
    for located in resolved.requires:
        with suppress(EvalError):
            if evaluate(located.value.condition, resolved.values) is False:
                names.update(located.value.condition.names())
    return frozenset(names)


def _shards_parameters(rule: Rule, groups: Iterable[ModuleGroup], binding: Binding) -> bool:
    values = binding.resolved.values
    return any(
        (shard := param_shard(rule, group.bound.module, name, values)) is not None and shard.dim is not None
        for group in groups
        for name in group.bound.module.parameters
    )


def _diagnostics(
    entry: Located,
    shards: Mapping[UnevenParameter, list[ModuleGroup]],
    axis: str,
    ranks: int,
    all_sizes: Collection[int] = (),
    more: int = 0,
) -> Iterator[Diagnostic]:
    """What a rule would cut unevenly.

    Args:
        all_sizes: the sizes that the ranks must divide, where other rules are meant too.
        more: how many.
    """
    for shard, matching in shards.items():
        sizes = all_sizes or shard.sizes
        fitting = [n for n in range(1, ranks) if all(size % n == 0 for size in sizes)]
        fits = f"help: sizes of '{axis}' that fit: {', '.join(map(str, fitting[-5:]))}"
        others = f"like it: all rules of '{axis}' that cut parameters, {more} more"
        yield diagnostic("F604", entry.location.label(shard.got, *shard.field),
                     f"'{shard.param}' cannot be cut into {ranks} equal shards on axis '{axis}'",
                     location_note(matching), *[others] * bool(more), f"needed: {shard.needed}",
                     *[fits] * bool(sizes), module=matching[0].name)  # fmt: skip


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
    for number, buffer in enumerate(rule.buffers):
        shard = buffer_shard(rule, module, buffer.name) if buffer.name in module.buffers else None
        if shard is not None and shard.dim is not None:
            shape, parts = module.buffers[buffer.name].shape, len(buffer_parts(buffer.layout)) or 1
            if shape[shard.dim] % (parts * ranks):
                of_parts = f" in each of {parts} parts" if parts > 1 else ""
                yield UnevenParameter(("buffers", number), f"dim {shard.dim} of {list(shape)} is {shape[shard.dim]}",
                                   f"a multiple of {ranks}{of_parts}", (shape[shard.dim] // parts,), buffer.name)  # fmt: skip


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
