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
from planc.ir.diagnostic import Diagnostic, Fix, Label, replace
from planc.ir.layout import REPLICATE
from planc.ir.record import Record
from planc.ir.settled import Placed, Settings, SettledBlock
from planc.resolve.bind import Binding, Bound
from planc.resolve.sites import axis_size
from planc.resolve.weights import Cut, cut_of
from planc.resolve.written import lines_after
from planc.styles import STYLES, Style


class Lying(Record):
    """One name of a tied parameter: how it lies there, and the rule that says so."""

    name: str
    owner: Bound
    rule: Placed | None
    cut: Cut | None

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return (self.owner.module.class_name, *self.owner.module.bases)

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
    ruled = sorted((one for one in lying if one.rule), key=lambda one: one.cut.dim if one.cut else 99)
    first = ruled[0]
    other = next(one for one in lying if one.cut != first.cut)
    late = other if other.rule else first
    others = () if late is first else (_label(first),)
    return broken("F605", _label(late), f"tied parameters lie in two ways on axis '{block.axes[0].value}'",
                  *[f"and: {one}" for one in lying if one.rule is None],
                  f"needed: the same layout for {' and '.join(one.name for one in lying)}",
                  others=others, fix=_fix(first, other, lying, bool(block.loss)), module=other.module)  # fmt: skip


def _label(one: Lying) -> Label:
    assert one.rule is not None
    return one.rule.place.label(str(one), *["style"] * (one.rule.value.style is not None))


def _fix(first: Lying, other: Lying, lying: list[Lying], has_loss: bool) -> Fix | None:
    """The styles that lay the others out as the first; a head leaves as the loss takes it."""
    assert first.rule is not None
    if other.rule is not None:
        style = _style(other, first.cut)
        written = style is not None and other.rule.value.style is not None
        return replace(_label(other), style.name) if style and written else None
    lines = []
    for one in lying:
        style = _style(one, first.cut)
        if one.rule is None and style is not None:
            leaves = "shard(-1)" if has_loss and "Linear" in one.classes else "replicate"
            lines.append(f"{one.module}   {style.name}{f' -> {leaves}' * (style.output != REPLICATE)}")
    return lines_after(first.rule.place.label(), lines, f"add {', '.join(lines)}") if lines else None


def _style(one: Lying, cut: Cut | None) -> Style | None:
    """The style that cuts a parameter so."""
    own = one.name.rpartition(".")[2]
    for style in STYLES.values():
        for weight in style.weights if style.parts == "none" and cut is not None else ():
            if weight.module in one.classes and weight.param == own and str(weight.layout) == str(cut):
                return style
    return None
