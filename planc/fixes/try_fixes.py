"""A diagnostic keeps its fix only if the plan, with the fix applied, loses the violation and gets no other
one, or one that a further fix mends. The fix of an error may bring warnings of redundant communication."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from planc.fixes.chained_fixes import apply_edits, chain_fixes
from planc.ir.diagnostic import Diagnostic, Fix
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
    limit = min(MAX_FIXES_TRIED, 1 + MAX_CHARACTERS_READ // (1 + len(document.source.text)))
    trial = _Trial(document, settings, found, diagnose)
    working = {id(d): trial.working_fix(d) for d in offered[:limit]}
    return tuple(d if d.fix is None else d.with_(fix=working.get(id(d))) for d in found)


class _Trial:
    """Tries fixes of one plan."""

    def __init__(
        self, document: Document, settings: Settings, found: tuple[Diagnostic, ...], diagnose: DiagnoseFn
    ) -> None:
        self.document, self.settings, self.found, self.diagnose = document, settings, found, diagnose
        self.before = Counter(_identity(d) for d in found)

    def working_fix(self, diagnostic: Diagnostic) -> Fix | None:
        """The fix of a diagnostic if it works, alone or with others that it makes necessary."""
        # A fix of a base plan would change the other plans that extend it.
        fix = diagnostic.fix
        if fix is None or diagnostic.label.source is not self.document.source:
            return None
        _, after = self.check(fix)
        # An edit moves spans, so a violation is found again by its data.
        left = Counter(
            _identity(d) for d in after if d.is_error or not diagnostic.is_error or d.law.name == "not-proved"
        )
        own = _identity(diagnostic)
        if left[own] >= self.before[own]:
            return None
        if left <= self.before:
            return fix
        # A size that no rank has ends the proof of all that is made of it: there may be more to mend.
        if diagnostic.law.name != "size-written":
            return None
        return chain_fixes(fix, self.document, self.found, self.check, _identity)

    def check(self, fix: Fix) -> tuple[Document, tuple[Diagnostic, ...]]:
        """The plan with a fix, and its diagnostics."""
        from planc.syntax.read_file import read_source

        edited = read_source(_edit_source(self.document.source, fix))
        return edited, self.diagnose(edited, self.settings).diagnostics


def _identity(diagnostic: Diagnostic) -> tuple[object, ...]:
    """What stays the same of a diagnostic when spans move."""
    if diagnostic.details is not None:
        return diagnostic.law.code, diagnostic.details
    return diagnostic.law.code, diagnostic.message, diagnostic.label.text


def _edit_source(source: Source, fix: Fix) -> Source:
    return Source(source.name, apply_edits(source.text, fix.edits), source.format, source.folder)
