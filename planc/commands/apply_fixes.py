"""`planc check --fix`: writing the fixes that were tried."""

from __future__ import annotations

from collections.abc import Callable

from planc.check_result import Result
from planc.fixes.try_fixes import apply_edits
from planc.ir.document import Document
from planc.ir.source import Source
from planc.syntax.read_file import read_source

MAX_ROUNDS = 100
"""Fixes written in one run: each is tried beside those before it."""


def apply_fixes(result: Result, check: Callable[[Document], Result]) -> Result:
    """The result of the plan with its fixes applied, one after the other. Nothing is written."""
    for _ in range(MAX_ROUNDS):
        source = result.document.source
        fix = next((d.fix for d in result.diagnostics if d.fix is not None and d.fix.edits), None)
        if fix is None:
            break
        text = apply_edits(source.text, fix.edits)
        result = check(read_source(Source(source.name, text, source.format, source.folder)))
    return result
