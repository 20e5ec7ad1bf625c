"""The table of laws: what planc checks, a row each.

It is data alone, so that every stage can name a law. The checks are in `planc/checks/`, and so are the
pages that `planc explain` prints.
"""

from __future__ import annotations

from typing import Literal

from planc.ir.record import Record

Severity = Literal["error", "warning"]
Stage = Literal["read", "resolve", "check", "model", "proof", "capture"]
"""The stage that finds a violation:

- `read`: a file is read;
- `resolve`: base plans, mesh sizes, options, lets and conditions are worked in;
- `check`: a function `check(resolved, settings)` in a file of `planc/checks/`;
- `model`: a function `check(binding, settings)` there, with the plan bound to a model;
- `proof`: layouts are propagated through the model;
- `capture`: a model is captured, or its graph is read.
"""


class Law(Record):
    """One law."""

    code: str
    """Stable: never given to another law."""
    name: str
    """The code in words, as `unknown-axis`."""
    stage: Stage
    severity: Severity = "error"
    acceptable: bool = False
    """Whether a plan may accept its violation: what is applied then is clear, and no rank fails or drifts apart."""

    @property
    def has_check(self) -> bool:
        """Whether a function `check` of its own finds violations."""
        return self.stage in ("check", "model")

    @property
    def module(self) -> str:
        """The module that holds its page, and its check where it has one."""
        folder = "planc.checks" if self.has_check else "planc.checks.pages"
        return f"{folder}.{self.name.replace('-', '_')}"


LAWS = (
    # S: the form of the plan
    Law("S001", "syntax", "read"),
    Law("S002", "unclosed", "read"),
    Law("S003", "character", "read"),
    Law("S004", "data-form", "read"),
    Law("S005", "pattern", "read"),
    Law("S006", "too-large", "read"),
    # N: names
    Law("N101", "unknown-style", "check"),
    Law("N102", "unknown-axis", "check"),
    Law("N103", "unknown-name", "check"),
    Law("N104", "unknown-layout", "check"),
    Law("N105", "unknown-word", "check"),
    Law("N106", "declared-twice", "check"),
    Law("N107", "unused-name", "check", "warning"),
    Law("N108", "wrong-kind", "resolve"),
    Law("N109", "let-cycle", "resolve"),
    # M: the mesh
    Law("M201", "unused-axis", "check", "warning"),
    Law("M202", "axis-conflict", "check"),
    Law("M203", "world-size", "resolve"),
    Law("M204", "open-axes", "resolve"),
    Law("M205", "axis-size", "resolve"),
    Law("M206", "tensor-across-nodes", "check", "warning"),
    # R: rules and blocks
    Law("R301", "two-rules", "check"),
    Law("R302", "remove-nothing", "resolve"),
    Law("R303", "layout-range", "check"),
    Law("R304", "rule-arguments", "check"),
    Law("R305", "dead-when", "check", "warning"),
    Law("R306", "block-twice", "resolve"),
    Law("R307", "override-nothing", "resolve"),
    Law("R308", "empty-block", "check", "warning"),
    Law("R309", "accept-nothing", "proof"),
    Law("R310", "not-acceptable", "check"),
    # X: expressions
    Law("X401", "require", "resolve"),
    Law("X402", "expression-type", "check"),
    Law("X403", "division-by-zero", "resolve"),
    # E: other files
    Law("E501", "missing-plan", "resolve"),
    Law("E502", "extends-cycle", "resolve"),
    Law("E503", "outside-folder", "resolve"),
    Law("E504", "model-reference", "check"),
    # F: the plan and the model
    Law("F600", "other-model", "model"),
    Law("F601", "no-match", "model"),
    Law("F602", "rules-meet", "model"),
    Law("F603", "style-class", "model"),
    Law("F604", "uneven-cut", "model"),
    Law("F605", "tied-layouts", "model"),
    Law("F606", "large-whole", "model", "warning"),
    Law("F607", "unknown-parameter", "model"),
    Law("F608", "unknown-attribute", "model"),
    Law("F609", "unknown-port", "model"),
    Law("F610", "never-called", "model"),
    Law("F611", "unit-nesting", "model"),
    Law("F612", "tied-units", "model"),
    Law("F613", "left-out", "model"),
    Law("F614", "empty-unit", "model", "warning"),
    Law("F615", "nested-regions", "model", "warning"),
    Law("F616", "unknown-fact", "model"),
    Law("F617", "override-misses", "model"),
    # L: layouts of values and gradients
    Law("L701", "arrives-otherwise", "proof"),
    Law("L702", "pending-sum", "proof"),
    Law("L703", "cut-dim", "proof"),
    Law("L704", "cut-along", "proof"),
    Law("L705", "split-sequence", "proof"),
    Law("L706", "partial-gradient", "proof"),
    Law("L707", "size-read", "proof"),
    Law("L708", "size-written", "proof"),
    Law("L709", "batch-mixed", "proof", acceptable=True),
    Law("L710", "leaves-split", "proof"),
    Law("L711", "layouts-meet", "proof"),
    Law("L712", "loss-needs", "proof"),
    Law("L713", "not-proved", "proof", "warning", acceptable=True),
    Law("L714", "not-repeatable", "proof"),
    Law("L715", "unit-read", "proof"),
    Law("L716", "unit-memory", "proof"),
    Law("L721", "repeated-gather", "proof", "warning"),
    Law("L722", "undone-gather", "proof", "warning"),
    Law("L723", "gathered-logits", "proof", "warning"),
    # G: graphs
    Law("G801", "graph-file", "capture"),
    Law("G802", "capture", "capture"),
    Law("G803", "model-class", "capture"),
    Law("G804", "model-input", "capture"),
)
"""Every law, by its family."""

_BY_CODE = {law.code: law for law in LAWS}


def law_by_code(code: str) -> Law:
    """The law with this code.

    Raises:
        KeyError: there is none.
    """
    return _BY_CODE[code]
