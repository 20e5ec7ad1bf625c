"""Large parameters that every rank of a tensor axis holds in full.

The plan is right, but a parameter that no rule shards takes its full memory on each rank.
planc counts matrices only, and reports them if they make up a large share of the model. It
does not report parameters with a rule `replicate`, which says that this is meant.

Wrong (planc check --model wide.graph.json.gz --tp 4):

    mesh tp
    tensor tp {
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
    }

Right (planc check --model wide.graph.json.gz --tp 4):

    mesh tp
    tensor tp {
        model.embed_tokens                 rowwise
        model.layers.*.mlp.{gate,up}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
        lm_head                            colwise  -> replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, axis_size, module_groups, qualified_name
from planc.bind.param_shards import param_layout, param_shard
from planc.checks.no_match import unmatched_patterns
from planc.ir.blocks import Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Settings
from planc.ir.styles import style_with

MIB = 1 << 20
MIN_BYTES = 64 * MIB
"""A parameter counts as large from this size on, over all equal modules,"""
MIN_PERCENT = 4
"""and from this share of all parameters on."""
MAX_NAMED = 6
"""Parameters that the message names."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    blocks = list(binding.resolved.tensor_blocks())
    split = [(n, b) for n, b in blocks if axis_size(binding, b) > 1 and b.entries]
    if not split or unmatched_patterns(binding):
        return  # a pattern that matches nothing explains why no rule shards them
    tied = {name for tie in binding.graph.ties for name in tie[1:]}
    total = 0
    unsharded: list[tuple[int, str, ModuleGroup]] = []
    for group in module_groups(binding):
        for name, info in group.bound.module.parameters.items():
            if qualified_name(group.name, name) in tied:
                continue
            size = info.bytes * group.count
            total += size
            if (
                len(info.shape) > 1
                and size >= MIN_BYTES
                and _is_unsharded(binding, [n for n, _ in split], group, name)
            ):
                unsharded.append((size, name, group))
    large = sorted(
        (each for each in unsharded if each[0] * 100 >= total * MIN_PERCENT), key=lambda each: -each[0]
    )
    if not large:
        return
    block = split[0][1]
    axis, ranks = block.axes[0].value, axis_size(binding, block)
    size, largest = sum(size for size, _, _ in large), large[0][2]
    named = [
        f"unsharded: {_pattern_of(group)}.{name}, {_format_bytes(size)}"
        for size, name, group in large[:MAX_NAMED]
    ]
    more = [f"and: {len(large) - MAX_NAMED} more kinds of parameter"] * (len(large) > MAX_NAMED)
    fsdp_axes = [b.axes[0].value for _, b in binding.resolved.blocks_of(Unit) if axis_size(binding, b) > 1]
    fsdp = [f"fsdp: between uses axis '{name}' shards them; in use they are unsharded" for name in fsdp_axes]
    yield diagnostic("F606", block.axes[0].location.label(f"could shard them {ranks} ways"),
                 f"every rank of axis '{axis}' holds {_format_bytes(size)} of unsharded parameters",
                 *named, *more, *fsdp, f"cost: if they were sharded, a rank would hold {_format_bytes(size // ranks)} of them",
                 f"help: give them rules, such as {_pattern_of(largest)}   {_suggested_style(largest)}",
                 module=largest.name)  # fmt: skip


def _is_unsharded(binding: Binding, blocks: list[int], group: ModuleGroup, name: str) -> bool:
    """Whether no rule gives a parameter a layout."""
    for number in blocks:
        rule = binding.entry_for(group.bound, number)
        if rule is not None and (
            param_shard(rule.value, group.bound.module, name, binding.resolved.values)
            or param_layout(rule.value, group.bound.module, name) is not None
        ):
            return False
    return True


def _pattern_of(group: ModuleGroup) -> str:
    """A pattern that matches the modules of a group: numbers become `*`."""
    return ".".join("*" if part.isdigit() else part for part in group.name.split(".")) or "root"


def _suggested_style(group: ModuleGroup) -> str:
    for style in (style_with(masks_lookups=True), style_with(splits_outputs=True)):
        row = style.row_for(group.bound.module.classes)
        if row is not None and row.masked_lookup is style.masks_lookups:
            return style.name
    wide = next(name for name, info in group.bound.module.parameters.items() if len(info.shape) > 1)
    return f"params({wide}: shard(0))"


def _format_bytes(count: int) -> str:
    return f"{count / (MIB << 10):.1f} GiB" if count >= MIB << 10 else f"{count / MIB:.0f} MiB"
