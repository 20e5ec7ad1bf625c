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


class Check(Record):
    """A law, and the stage that finds where it is broken."""

    law: Law
    stage: Stage

    @property
    def module(self) -> str:
        return f"planc.checks.{self.law.name.replace('-', '_')}"


def _check(stage: Stage, code: str, name: str, severity: Literal["error", "warning"] = "error") -> Check:
    return Check(Law(code, name, severity), stage)


CHECKS = (
    # S: the form of the plan
    _check("read", "S001", "syntax"),
    _check("read", "S002", "unclosed"),
    _check("read", "S003", "character"),
    _check("read", "S004", "data-form"),
    _check("read", "S005", "pattern"),
    _check("read", "S006", "too-large"),
    # N: names
    _check("check", "N101", "unknown-style"),
    _check("check", "N102", "unknown-axis"),
    _check("check", "N103", "unknown-name"),
    _check("check", "N104", "unknown-layout"),
    _check("check", "N105", "unknown-word"),
    _check("check", "N106", "declared-twice"),
    _check("check", "N107", "unused-name", "warning"),
    _check("settle", "N108", "wrong-kind"),
    _check("settle", "N109", "let-cycle"),
    # M: the mesh
    _check("check", "M201", "unused-axis", "warning"),
    _check("check", "M202", "axis-conflict"),
    _check("settle", "M203", "world-size"),
    _check("settle", "M204", "open-axes"),
    _check("settle", "M205", "axis-size"),
    _check("check", "M206", "tensor-across-nodes", "warning"),
    # R: rules and blocks
    _check("check", "R301", "two-rules"),
    _check("settle", "R302", "remove-nothing"),
    _check("check", "R303", "layout-range"),
    _check("check", "R304", "rule-arguments"),
    _check("check", "R305", "dead-when", "warning"),
    _check("settle", "R306", "block-twice"),
    _check("settle", "R307", "override-nothing"),
    _check("check", "R308", "empty-block", "warning"),
    # X: expressions
    _check("settle", "X401", "require"),
    _check("check", "X402", "expression-type"),
    _check("settle", "X403", "division-by-zero"),
    # E: other files
    _check("settle", "E501", "missing-plan"),
    _check("settle", "E502", "extends-cycle"),
    _check("settle", "E503", "outside-folder"),
    _check("check", "E504", "model-reference"),
    # F: the plan and the model
    _check("model", "F600", "other-model"),
    _check("model", "F601", "no-match"),
    _check("model", "F602", "rules-meet"),
    _check("model", "F603", "style-class"),
    _check("model", "F604", "uneven-cut"),
    _check("model", "F605", "tied-layouts"),
    _check("model", "F606", "large-whole", "warning"),
    _check("model", "F607", "unknown-parameter"),
    _check("model", "F608", "unknown-attribute"),
    _check("model", "F609", "unknown-port"),
    _check("model", "F610", "never-called"),
    _check("model", "F611", "unit-nesting"),
    _check("model", "F612", "tied-units"),
    _check("model", "F613", "left-out"),
    _check("model", "F614", "empty-unit", "warning"),
    _check("model", "F615", "nested-regions", "warning"),
    _check("model", "F616", "unknown-fact"),
    _check("model", "F617", "override-misses"),
    _check("model", "F618", "scalar-parameter"),
    # L: layouts of values and gradients
    _check("proof", "L701", "arrives-otherwise"),
    _check("proof", "L702", "pending-sum"),
    _check("proof", "L703", "cut-dim"),
    _check("proof", "L704", "cut-along"),
    _check("proof", "L705", "split-sequence"),
    _check("proof", "L706", "partial-gradient"),
    _check("proof", "L707", "size-read"),
    _check("proof", "L708", "size-written"),
    _check("proof", "L709", "batch-mixed"),
    _check("proof", "L710", "leaves-split"),
    _check("proof", "L711", "layouts-meet"),
    _check("proof", "L712", "loss-needs"),
    _check("proof", "L713", "not-proved", "warning"),
    _check("proof", "L721", "repeated-gather", "warning"),
    _check("proof", "L722", "undone-gather", "warning"),
    _check("proof", "L723", "gathered-logits", "warning"),
    # G: graphs
    _check("capture", "G801", "graph-file"),
    _check("capture", "G802", "capture"),
    _check("capture", "G803", "model-class"),
    _check("capture", "G804", "model-input"),
)
"""Every law, by its family."""

_LAWS = {row.law.code: row.law for row in CHECKS}


def law_by_code(code: str) -> Law:
    """The law with this code.

    Raises:
        KeyError: there is none.
    """
    return _LAWS[code]


def law_page(law: Law) -> tuple[str, str]:
    """The title of the page of a law, and the page."""
    row = next(row for row in CHECKS if row.law == law)
    page = (import_module(row.module).__doc__ or "").strip()
    return page.partition("\n")[0], page
