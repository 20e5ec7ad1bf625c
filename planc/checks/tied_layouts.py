"""Tied parameters that are split in two ways.

They are one tensor: a head that is tied to the embedding has no weight of its own.
Split in two ways, or in one place only, the tie would be broken without a word, and
each place would train a weight of its own.

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

from planc.checks.no_match import unmatched
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic, Fix, replace
from planc.ir.layout import Shard
from planc.ir.record import Record
from planc.ir.settled import Placed, Settings, SettledBlock
from planc.resolve.bind import Binding, Bound
from planc.resolve.sites import axis_size
from planc.resolve.weights import Cut, cut_of
from planc.resolve.written import line_after
from planc.styles import STYLES


class Lying(Record):
    """One name of a tied parameter: how it lies there, and the rule that says so."""

    name: str
    owner: Bound
    rule: Placed | None
    cut: Cut | None

    def __str__(self) -> str:
        layout = str(self.cut) if self.cut else "whole on every rank"
        return f"{self.name}: {layout}" + ("" if self.rule else ", by no rule")


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    values = binding.settled.values
    for number, block in enumerate(binding.settled.blocks):
        if block.kind != "tensor" or axis_size(binding, block) == 1:
            continue
        for tie in binding.graph.ties:
            lying: list[Lying] = []
            for name in tie:
                owner, _, own = name.rpartition(".")
                bound = binding.root.below(owner)
                if bound is not None and own in bound.module.parameters:
                    rule = binding.entry(bound, number)
                    cut = cut_of(rule.value if rule else None, bound.module, own, values)
                    lying.append(Lying(name, bound, rule, cut))
            if len({one.cut for one in lying}) < 2:
                continue
            # A pattern that matches nothing may be the rule that is missing.
            if all(one.rule for one in lying) or not unmatched(binding):
                yield _apart(lying, block)


def _apart(lying: list[Lying], block: SettledBlock) -> Diagnostic:
    # The one that is split over the vocabulary is mostly meant: heads and losses take that.
    ruled = sorted((one for one in lying if one.rule is not None), key=lambda one: one.cut.dim if one.cut else 99)
    first = ruled[0]
    other = next(one for one in lying if one.cut != first.cut)
    if other.rule is not None and other.rule is first.rule:
        other = first
    late = other if other.rule is not None else first
    assert late.rule is not None
    label = late.rule.place.label(str(late), *_field(late))
    others = (first.rule.place.label(str(first), *_field(first)),) if late is not first and first.rule else ()
    bare = [str(one) for one in lying if one.rule is None]
    return broken("F605", label, f"tied parameters lie in two ways on axis '{block.axes[0].value}'",
                  *[f"and: {text}" for text in bare],
                  f"needed: the same layout for {' and '.join(one.name for one in lying)}",
                  others=others, fix=_fix(first, other, "shard(-1)" if block.loss else "replicate"), module=other.name.rpartition(".")[0])  # fmt: skip


def _field(one: Lying) -> tuple[str, ...]:
    return ("style",) if one.rule is not None and one.rule.value.style is not None else ()


def _fix(first: Lying, other: Lying, leaving: str) -> Fix | None:
    """The style that lays the other one out as the first; the head leaves as the loss takes it."""
    own = other.name.rpartition(".")[2]
    for style in STYLES.values():
        if style.parts != "none" or first.cut is None or first.rule is None:
            continue
        layouts = {w.layout for w in style.weights if w.param == own
                   and w.module in (other.owner.module.class_name, *other.owner.module.bases)}  # fmt: skip
        if any(str(layout) == str(first.cut) for layout in layouts):
            if other.rule is not None:
                return (
                    replace(other.rule.place.label("", "style"), style.name)
                    if other.rule.value.style
                    else None
                )
            module = other.name.rpartition(".")[0]
            gives = f" -> {leaving}" if style.output == Shard(-1) else ""
            line = f"{module}   {style.name}  {gives}".rstrip()
            return line_after(first.rule.place.label(), line, f"add the line '{module} {style.name}{gives}'")
    return None
