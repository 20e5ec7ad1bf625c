"""A diagnostic keeps its fix only if the plan, with the fix applied, loses the violation and gets no other
one. The fix of an error may bring warnings of redundant communication."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from planc.ir.diagnostic import Diagnostic, Edit, Fix
from planc.ir.document import Document
from planc.ir.resolved import Settings
from planc.ir.source import Source

MAX_FIXES_TRIED = 32
MAX_CHARACTERS_READ = 100_000
"""The most fixes that one run tries, and the most characters that it reads for them: to try a fix is to
check the whole plan."""

DiagnoseFn = Callable[[Document, Settings], Any]
"""Checks a document; the result has `diagnostics`."""


def keep_working_fixes(
    document: Document, settings: Settings, found: tuple[Diagnostic, ...], diagnose: DiagnoseFn
) -> tuple[Diagnostic, ...]:
    """The diagnostics, without the fixes that do not mend.

    Args:
        document: the plan.
        settings: what the user gave besides.
        found: its diagnostics.
        diagnose: checks the plan with a fix applied.
    """
    offered = [d for d in found if d.fix is not None and d.fix.edits]
    tried = {
        id(d)
        for d in offered[: min(MAX_FIXES_TRIED, 1 + MAX_CHARACTERS_READ // (1 + len(document.source.text)))]
        if _fix_works(d, document, settings, found, diagnose)
    }
    return tuple(d if d.fix is None or id(d) in tried else _without_fix(d) for d in found)


def _fix_works(
    diagnostic: Diagnostic,
    document: Document,
    settings: Settings,
    found: tuple[Diagnostic, ...],
    diagnose: DiagnoseFn,
) -> bool:
    # A fix of a base plan would change the other plans that extend it.
    if diagnostic.label.source is not document.source or diagnostic.fix is None:
        return False
    from planc.syntax.read_file import read_source

    edited = read_source(_edit_source(document.source, diagnostic.fix))
    after = diagnose(edited, settings).diagnostics
    # An edit moves spans, so a violation is found again by its data.
    before = Counter(_identity(d) for d in found)
    left = Counter(
        _identity(d) for d in after if d.is_error or not diagnostic.is_error or d.law.name == "not-proved"
    )
    return left[_identity(diagnostic)] < before[_identity(diagnostic)] and left <= before


def _identity(diagnostic: Diagnostic) -> tuple[object, ...]:
    """What stays the same of a diagnostic when spans move."""
    if diagnostic.details is not None:
        return diagnostic.law.code, diagnostic.details
    return diagnostic.law.code, diagnostic.message, diagnostic.label.text


def apply_edits(text: str, edits: tuple[Edit, ...]) -> str:
    """The text with the edits made; they do not overlap."""
    for edit in sorted(edits, key=lambda e: e.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def _edit_source(source: Source, fix: Fix) -> Source:
    return Source(source.name, apply_edits(source.text, fix.edits), source.format, source.folder)


def _without_fix(d: Diagnostic) -> Diagnostic:
    return d.with_(fix=None)
