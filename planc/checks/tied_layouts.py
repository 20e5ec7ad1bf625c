"""Tied parameters with different layouts.

Tied parameters are one tensor: a head that is tied to the embedding has no weight of its own.
If they are sharded in two ways, or only one of them is sharded, the tie breaks without notice,
and each module trains a weight of its own.

Wrong (planc check --model tiny-tied.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.embed_tokens  rowwise
    }

Right (planc check --model tiny-tied.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.embed_tokens  rowwise
        lm_head             colwise  -> replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.bind.module_groups import axis_size
from planc.bind.param_shards import format_shard, param_shard
from planc.checks.no_match import unmatched_patterns
from planc.ir.diagnostic import Diagnostic, Fix, Label, diagnostic
from planc.ir.layout import REPLICATE, Shard
from planc.ir.lowered import LoweredParam
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock, Settings
from planc.ir.styles import STYLES, Style
from planc.ir.text_fixes import insert_lines_fix, replacement_fix


class TiedParam(Record):
    """One name of a tied parameter, with its layout and the rule that gives it."""

    name: str
    owner: BoundModule
    rule: Located | None
    shard: LoweredParam | None

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return (self.owner.module.class_name, *self.owner.module.bases)

    def __str__(self) -> str:
        return f"{self.name}: {format_shard(self.shard)}" + ("" if self.rule else ", without a rule")


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    values = binding.resolved.values
    for number, block in binding.resolved.tensor_blocks():
        if axis_size(binding, block) == 1:
            continue
        for tie in binding.graph.ties:
            tied: list[TiedParam] = []
            for name in tie:
                owner, _, own_name = name.rpartition(".")
                bound = binding.root.find_submodule(owner)
                if bound is not None and own_name in bound.module.parameters:
                    rule = binding.entry_for(bound, number)
                    shard = param_shard(rule.value if rule else None, bound.module, own_name, values)
                    tied.append(TiedParam(name, bound, rule, shard))
            if len({one.shard for one in tied}) < 2:
                continue
            # A pattern that matches nothing may be the missing rule.
            if all(one.rule for one in tied) or not unmatched_patterns(binding):
                yield _diagnose(tied, block)


def _diagnose(tied: list[TiedParam], block: ResolvedBlock) -> Diagnostic:
    # Usually the one along the vocabulary is right: heads and losses need that.
    ruled = sorted((one for one in tied if one.rule), key=_shard_dim)
    first = ruled[0]
    other = next(one for one in tied if one.shard != first.shard)
    last = other if other.rule else first
    secondary = () if last is first else (_tied_label(first),)
    return diagnostic("F605", _tied_label(last), f"tied parameters have two layouts on axis '{block.axes[0].value}'",
                  *[f"and: {one}" for one in tied if one.rule is None],
                  f"needed: the same layout for {' and '.join(one.name for one in tied)}",
                  secondary=secondary, fix=_matching_fix(first, other, tied, bool(block.loss)), module=other.module)  # fmt: skip


def _shard_dim(one: TiedParam) -> int:
    """The sharded dim of a parameter; replicated ones come last."""
    return 99 if one.shard is None or one.shard.dim is None else one.shard.dim


def _tied_label(one: TiedParam) -> Label:
    assert one.rule is not None
    return one.rule.location.label(str(one), *["style"] * (one.rule.value.style is not None))


def _matching_fix(first: TiedParam, other: TiedParam, tied: list[TiedParam], has_loss: bool) -> Fix | None:
    """Gives the others the layout of the first; a head keeps its output as the loss needs it."""
    assert first.rule is not None
    if other.rule is not None:
        style = _style_with_shard(other, first.shard)
        can_replace = style is not None and other.rule.value.style is not None
        return replacement_fix(_tied_label(other), style.name) if style and can_replace else None
    lines = []
    for one in tied:
        style = _style_with_shard(one, first.shard)
        if one.rule is None and style is not None:
            output = "shard(-1)" if has_loss and "Linear" in one.classes else "replicate"
            lines.append(f"{one.module}   {style.name}{f' -> {output}' * (style.output != REPLICATE)}")
    return insert_lines_fix(first.rule.location.label(), lines, f"add {', '.join(lines)}") if lines else None


def _style_with_shard(one: TiedParam, shard: LoweredParam | None) -> Style | None:
    """The style that shards a parameter in this way."""
    if shard is None or shard.dim is None or shard.part_sizes:
        return None
    own_name = one.name.rpartition(".")[2]
    for style in STYLES.values():
        row = style.row_for(one.classes)
        for param in row.params if row is not None and not style.takes_parts else ():
            if param.name == own_name and param.layout == Shard(shard.dim):
                return style
    return None
