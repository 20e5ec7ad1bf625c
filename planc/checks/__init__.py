"""The laws: one row here and one file each.

The file's docstring is what `planc explain` prints; its examples are tested.
A law of the stage `check` has a function `check(settled, settings)` in its file that
yields diagnostics, one of the stage `model` a function `check(binding, settings)`: it
holds the plan against a captured model. The others are found on the way there, while a plan is read (`read`)
or its options, lets and base plans are settled (`settle`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from planc.ir.diagnostic import Law
from planc.ir.record import Record

Stage = Literal["read", "settle", "check", "model", "proof", "capture"]


class Row(Record):
    """A law, and the stage that finds where it is broken."""

    law: Law
    stage: Stage

    @property
    def module(self) -> str:
        return f"planc.checks.{self.law.name.replace('-', '_')}"


def _row(stage: Stage, code: str, name: str, severity: Literal["error", "warning"] = "error") -> Row:
    return Row(Law(code, name, severity), stage)


CHECKS = (
    # S: the form of the plan
    _row("read", "S001", "syntax"),
    _row("read", "S002", "unclosed"),
    _row("read", "S003", "character"),
    _row("read", "S004", "data-form"),
    _row("read", "S005", "pattern"),
    _row("read", "S006", "too-large"),
    # N: names
    _row("check", "N101", "unknown-style"),
    _row("check", "N102", "unknown-axis"),
    _row("check", "N103", "unknown-name"),
    _row("check", "N104", "unknown-layout"),
    _row("check", "N105", "unknown-word"),
    _row("check", "N106", "declared-twice"),
    _row("check", "N107", "unused-name", "warning"),
    _row("settle", "N108", "wrong-kind"),
    _row("settle", "N109", "let-cycle"),
    # M: the mesh
    _row("check", "M201", "unused-axis", "warning"),
    _row("check", "M202", "axis-conflict"),
    _row("settle", "M203", "world-size"),
    _row("settle", "M204", "open-axes"),
    _row("settle", "M205", "axis-size"),
    _row("check", "M206", "tensor-across-nodes", "warning"),
    # R: rules and blocks
    _row("check", "R301", "two-rules"),
    _row("settle", "R302", "remove-nothing"),
    _row("check", "R303", "layout-range"),
    _row("check", "R304", "rule-arguments"),
    _row("check", "R305", "dead-when", "warning"),
    _row("settle", "R306", "block-twice"),
    _row("settle", "R307", "override-nothing"),
    _row("check", "R308", "empty-block", "warning"),
    # X: expressions
    _row("settle", "X401", "require"),
    _row("check", "X402", "expression-type"),
    _row("settle", "X403", "division-by-zero"),
    # E: other files
    _row("settle", "E501", "missing-plan"),
    _row("settle", "E502", "extends-cycle"),
    _row("settle", "E503", "outside-folder"),
    _row("check", "E504", "model-reference"),
    # F: the plan and the model
    _row("model", "F600", "other-model"),
    _row("model", "F601", "no-match"),
    _row("model", "F602", "rules-meet"),
    _row("model", "F603", "style-class"),
    _row("model", "F604", "uneven-cut"),
    _row("model", "F605", "tied-layouts"),
    _row("model", "F606", "large-whole", "warning"),
    _row("model", "F607", "unknown-parameter"),
    _row("model", "F608", "unknown-attribute"),
    _row("model", "F609", "unknown-port"),
    _row("model", "F610", "never-called"),
    _row("model", "F611", "unit-nesting"),
    _row("model", "F612", "tied-units"),
    _row("model", "F613", "left-out"),
    _row("model", "F614", "empty-unit", "warning"),
    _row("model", "F615", "nested-regions", "warning"),
    _row("model", "F616", "unknown-fact"),
    _row("model", "F617", "override-misses"),
    _row("model", "F618", "scalar-parameter"),
    # L: layouts of values and gradients
    _row("proof", "L701", "arrives-otherwise"),
    _row("proof", "L702", "pending-sum"),
    _row("proof", "L703", "cut-dim"),
    _row("proof", "L704", "cut-along"),
    _row("proof", "L705", "split-sequence"),
    _row("proof", "L706", "partial-gradient"),
    _row("proof", "L707", "size-read"),
    _row("proof", "L708", "size-written"),
    _row("proof", "L709", "batch-mixed"),
    _row("proof", "L710", "leaves-split"),
    _row("proof", "L711", "layouts-meet"),
    _row("proof", "L712", "loss-needs"),
    _row("proof", "L713", "not-proved", "warning"),
    _row("proof", "L721", "repeated-gather", "warning"),
    _row("proof", "L722", "undone-gather", "warning"),
    _row("proof", "L723", "gathered-logits", "warning"),
    # G: graphs
    _row("capture", "G801", "graph-file"),
    _row("capture", "G802", "capture"),
    _row("capture", "G803", "model-class"),
    _row("capture", "G804", "model-input"),
)
"""Every law, by its family."""

_LAWS = {row.law.code: row.law for row in CHECKS}


def law(code: str) -> Law:
    """The law with this code.

    Raises:
        KeyError: there is none.
    """
    return _LAWS[code]


def explained(law: Law) -> tuple[str, str]:
    """The title of the page of a law, and the page."""
    row = next(row for row in CHECKS if row.law == law)
    page = (import_module(row.module).__doc__ or "").strip()
    return page.partition("\n")[0], page
