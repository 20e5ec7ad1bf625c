"""Fixes: a diagnostic keeps its fix only if the plan, with it applied, loses the fault and
gets no other; for an error that is mended, warnings of waste may come."""

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
"""Fixes tried in one run, and characters read for it, each fix being a whole check: a
plan with more faults than that has other cares."""

DiagnoseFn = Callable[[Document, Settings], Any]
"""Gives an object with `diagnostics`."""


def keep_working_fixes(
    document: Document, settings: Settings, found: tuple[Diagnostic, ...], diagnose: DiagnoseFn
) -> tuple[Diagnostic, ...]:
    """The diagnostics, without the fixes that do not mend."""
    offered = [d for d in found if d.fix is not None and d.fix.edits]
    tried = {
        id(d)
        for d in offered[: min(MAX_FIXES_TRIED, 1 + MAX_CHARACTERS_READ // (1 + len(document.source.text)))]
        if _fix_works(d, document, settings, found, diagnose)
    }
    return tuple(d if d.fix is None or id(d) in tried else _without_fix(d) for d in found)


def _fix_works(
    broken: Diagnostic,
    document: Document,
    settings: Settings,
    found: tuple[Diagnostic, ...],
    diagnose: DiagnoseFn,
) -> bool:
    # A fix of a base plan would change what other plans extend: it is not offered from here.
    if broken.label.source is not document.source or broken.fix is None:
        return False
    from planc.syntax.read_file import read_source

    mended = read_source(_edit_source(document.source, broken.fix))
    after = diagnose(mended, settings).diagnostics
    # Offsets move with an edit, so faults are told apart by what they say.
    before = Counter(_identity(d) for d in found)
    left = Counter(
        _identity(d) for d in after if d.is_error or not broken.is_error or d.law.name == "not-proved"
    )
    return left[_identity(broken)] < before[_identity(broken)] and left <= before


def _identity(diagnostic: Diagnostic) -> tuple[str, str, str]:
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
