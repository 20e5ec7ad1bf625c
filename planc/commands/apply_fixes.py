"""`planc check --fix`: the fixes of a plan applied one after another."""

from __future__ import annotations

from collections.abc import Callable

from planc.check_result import Result
from planc.fixes.chained_fixes import apply_edits
from planc.ir.document import Document
from planc.ir.source import Source
from planc.syntax.read_file import read_source

MAX_ROUNDS = 100
"""Fixes applied in one run. planc tries each on the plan with those before it."""


def apply_fixes(result: Result, check: Callable[[Document], Result]) -> Result:
    """Apply the fixes of a plan, and check it again after each. Writes no file.

    Args:
        result: the result of checking the plan.
        check: checks a document as `result` was made.
    """
    for _ in range(MAX_ROUNDS):
        source = result.document.source
        fix = next((d.fix for d in result.diagnostics if d.fix is not None and d.fix.edits), None)
        if fix is None:
            break
        text = apply_edits(source.text, fix.edits)
        result = check(read_source(Source(source.name, text, source.format, source.folder)))
    return result
