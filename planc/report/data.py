"""Results as one JSON object, version 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from planc.compile import Result
from planc.ir.diagnostic import Diagnostic


def to_json(results: Sequence[Result]) -> str:
    """The object of a run. Lines and columns count from 1, columns in code points; the
    end column is the first one after the place."""
    return json.dumps({"version": 1, "results": [_result(r) for r in results]}, indent=2) + "\n"


def _result(result: Result) -> dict[str, Any]:
    return {
        "path": result.document.source.name,
        "plan": result.document.plan.name,
        "mesh": {axis.name: axis.size for axis in result.settled.axes},
        "verdict": result.verdict,
        "diagnostics": [_diagnostic(d) for d in result.diagnostics],
        "skipped": [{"check": s.check, "why": s.why} for s in result.skipped],
        "collectives": [],
    }


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    label = diagnostic.label
    start, end = label.source.position(label.span.start), label.source.position(label.span.end)
    return {
        "code": diagnostic.law.code,
        "name": diagnostic.law.name,
        "severity": diagnostic.law.severity,
        "message": diagnostic.message,
        "label": label.text,
        "path": label.source.name,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "at": list(label.path),
        "module": diagnostic.module,
        "operation": diagnostic.operation,
        "notes": list(diagnostic.notes),
        "fix": _fix(diagnostic),
    }


def _fix(diagnostic: Diagnostic) -> dict[str, Any] | None:
    fix, source = diagnostic.fix, diagnostic.label.source
    if fix is None:
        return None
    edits = []
    for edit in fix.edits:
        start, end = source.position(edit.span.start), source.position(edit.span.end)
        edits.append(
            {"line": start.line, "column": start.column, "end_line": end.line,
             "end_column": end.column, "text": edit.text}
        )  # fmt: skip
    return {"message": fix.message, "edits": edits}
