"""A fix that needs another one: a violation may hide what the plan lacks besides.

Heads that `attributes(...)` divides let the proof go on to the norm behind them, which then lacks its style.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from planc.ir.diagnostic import Diagnostic, Edit, Fix
from planc.ir.document import Document
from planc.ir.source import Span

MAX_CHAINED = 2
"""The most fixes that follow a first one."""


def chain_fixes(
    first: Fix,
    document: Document,
    found: Sequence[Diagnostic],
    check: Callable[[Fix], tuple[Document, Sequence[Diagnostic]]],
    identity: Callable[[Diagnostic], Hashable],
) -> Fix | None:
    """One change of a plan that a fix and those after it make, where no error is left that was not there before.

    Args:
        first: a fix that mends its violation, and brings others to light.
        document: the plan.
        found: its diagnostics.
        check: the plan with a fix, and its diagnostics.
        identity: what stays the same of a diagnostic when spans move.
    """
    text, fix = document.source.text, first
    before = Counter(map(identity, found))
    for follows in range(MAX_CHAINED + 1):
        edited, after = check(fix)
        left = Counter(identity(d) for d in after if d.is_error or d.law.name == "not-proved")
        new = left - before
        if not new:
            return fix
        mended = [d for d in after if identity(d) in new and d.fix is not None and d.fix.edits]
        if follows == MAX_CHAINED or not mended or mended[0].label.source is not edited.source:
            return None
        following = mended[0].fix
        assert following is not None
        changed = apply_edits(edited.source.text, following.edits)
        fix = Fix(f"{fix.message}, and {following.message}", (_one_edit(text, changed),))
    return None


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text with the edits made; they do not overlap."""
    for edit in sorted(edits, key=lambda e: e.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def _one_edit(before: str, after: str) -> Edit:
    """The edit that makes one text of another."""
    start = _length_in_common(before, after)
    end = _length_in_common(before[start:][::-1], after[start:][::-1])
    return Edit(Span(start, len(before) - end), after[start : len(after) - end])


def _length_in_common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
