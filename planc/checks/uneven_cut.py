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
from planc.bind.param_shards import param_shard
from planc.ir.blocks import Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.expr import ExprValue
from planc.ir.graph import ModuleDef
from planc.ir.record import Record
from planc.ir.resolved import Settings


class UnevenShard(Record):
    """A parameter that is cut unevenly, and where the rule says so."""

    field: tuple[str | int, ...]
    got: str
    needed: str
    sizes: tuple[int, ...]
    """What the axis has to divide."""
    param: str


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for block, entry, found in rules_with_modules(binding, Rule):
        ranks, axis = axis_size(binding, block), block.axes[0].value
        uneven: dict[UnevenShard, list[ModuleGroup]] = {}
        for site in found if ranks > 1 else ():
            for fault in _uneven_shards(entry.value, site.bound.module, ranks, binding.resolved.values):
                uneven.setdefault(fault, []).append(site)
        for fault, like in uneven.items():
            fitting = [n for n in range(1, ranks) if all(size % n == 0 for size in fault.sizes)]
            fits = f"help: sizes of '{axis}' that fit: {', '.join(map(str, fitting[-5:]))}"
            yield diagnostic("F604", entry.location.label(fault.got, *fault.field),
                         f"'{fault.param}' cannot be cut into {ranks} equal shares on axis '{axis}'",
                         location_note(like), f"needed: {fault.needed}", *[fits] * bool(fault.sizes),
                         module=like[0].name)  # fmt: skip


def _uneven_shards(
    rule: Rule, module: ModuleDef, ranks: int, values: Mapping[str, ExprValue]
) -> Iterator[UnevenShard]:
    """What one module cannot share evenly: of a weight and its bias, cut alike, the first."""
    said: set[tuple[str | int, ...]] = set()
    for name, info in module.parameters.items():
        cut = param_shard(rule, module, name, values)
        if cut is None:
            continue
        size, what = info.shape[cut.dim], f"dim {cut.dim} of {list(info.shape)}"
        number = next((i for i, param in enumerate(rule.params) if param.name == name), None)
        field = ("style",) if number is None else ("params", number)
        packs = number is None and bool(rule.parts)
        total = sum(cut.parts) or 1
        shares = tuple(part * (size // total) for part in cut.parts) or (size,)
        bad = next((i for i, share in enumerate(shares) if share % ranks), None)
        if packs and not cut.parts:
            continue  # its parts have no value: that is said
        if size % total:
            field = ("parts", 0) if packs else field
            fault = UnevenShard(field, f"{total} shares of {what}, which is {size}",
                           f"parts whose sum divides {size}", (), name)  # fmt: skip
        elif bad is None:
            continue
        elif not cut.parts:
            fault = UnevenShard(field, f"{what} is {size}", f"a multiple of {ranks}", shares, name)
        else:
            part = min(bad, len(rule.parts) - 1)
            called = (packs and rule.parts[part].name) or "each part"
            field = ("parts", part) if packs else field
            fault = UnevenShard(field, f"{called} has {shares[bad]} of {what}",
                           f"a multiple of {ranks} in each part", shares, name)  # fmt: skip
        if field not in said:
            said.add(field)
            yield fault
