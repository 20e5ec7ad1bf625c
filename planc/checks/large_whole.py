"""Large parameters that every rank of a tensor axis holds whole.

The plan is right, but what no rule splits takes its full memory on each rank. Only
matrices count, and only those that make a good share of the model. A rule that says
`replicate` means it, and is not warned of.

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

from planc.checks.no_match import unmatched
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.settled import Settings
from planc.resolve.bind import Binding
from planc.resolve.sites import Site, axis_size, joined, sites
from planc.resolve.weights import cut_of, layout_of

MIB = 1 << 20
SMALLEST = 64 * MIB
"""Of one kind of parameter, over all modules that are alike."""
SHARE = 25
"""It is at least this part, one in so many, of all parameters."""
MOST = 6
"""Kinds of parameter that are named."""


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    blocks = [(n, b) for n, b in enumerate(binding.settled.blocks) if b.kind == "tensor"]
    split = [(n, b) for n, b in blocks if axis_size(binding, b) > 1 and b.entries]
    if not split or unmatched(binding):
        return  # a pattern that matches nothing explains what is whole
    every = sites(binding)
    repeated = {name for tie in binding.graph.ties for name in tie[1:]}
    total = 0
    whole: list[tuple[int, str, Site]] = []
    for site in every:
        for name, info in site.bound.module.parameters.items():
            if joined(site.name, name) in repeated:
                continue
            size = info.bytes * site.count
            total += size
            if (
                len(info.shape) > 1
                and size >= SMALLEST
                and _is_left(binding, [n for n, _ in split], site, name)
            ):
                whole.append((size, name, site))
    large = sorted((w for w in whole if w[0] * SHARE >= total), key=lambda w: -w[0])
    if not large:
        return
    block = split[0][1]
    axis, ranks = block.axes[0].value, axis_size(binding, block)
    held, site = sum(size for size, _, _ in large), large[0][2]
    named = [f"whole: {_pattern(s)}.{name}, {_size(size)}" for size, name, s in large[:MOST]]
    more = [f"and: {len(large) - MOST} more kinds of parameter"] * (len(large) > MOST)
    sharding = [
        b.axes[0].value for b in binding.settled.blocks if b.kind == "fsdp" and axis_size(binding, b) > 1
    ]
    rests = [f"fsdp: at rest axis '{name}' shards them; in use they are whole" for name in sharding]
    yield broken("F606", block.axes[0].place.label(f"could split them {ranks} ways"),
                 f"every rank of axis '{axis}' holds {_size(held)} of parameters whole",
                 *named, *more, *rests, f"cost: split, a rank would hold {_size(held // ranks)} of them",
                 f"help: give them rules, as {_pattern(site)}   {_advice(site)}",
                 module=site.name)  # fmt: skip


def _is_left(binding: Binding, blocks: list[int], site: Site, name: str) -> bool:
    """Whether no rule splits a parameter, or says that it is to be whole."""
    for number in blocks:
        rule = binding.entry(site.bound, number)
        if rule is not None and (
            cut_of(rule.value, site.bound.module, name, binding.settled.values)
            or layout_of(rule.value, site.bound.module, name) is not None
        ):
            return False
    return True


def _pattern(site: Site) -> str:
    """A pattern of modules like this one."""
    return ".".join("*" if part.isdigit() else part for part in site.name.split(".")) or "root"


def _advice(site: Site) -> str:
    kinds = {site.bound.module.class_name, *site.bound.module.bases}
    if "Embedding" in kinds:
        return "rowwise"
    if kinds & {"Linear", "Conv1D"}:
        return "colwise"
    wide = next(name for name, info in site.bound.module.parameters.items() if len(info.shape) > 1)
    return f"params({wide}: shard(0))"


def _size(count: int) -> str:
    return f"{count / (MIB << 10):.1f} GiB" if count >= MIB << 10 else f"{count / MIB:.0f} MiB"
