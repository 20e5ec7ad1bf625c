"""Results as one JSON object, version 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from planc.check_result import Result
from planc.compile import forecast
from planc.ir.diagnostic import Diagnostic, Label
from planc.ir.source import Source, Span


def results_to_json(results: Sequence[Result]) -> str:
    """The object of a run. Lines and columns count from 1, columns in code points; the
    end column is the first one after the place."""
    return json.dumps({"version": 1, "results": [_result(r) for r in results]}, indent=2) + "\n"


def _result(result: Result) -> dict[str, Any]:
    return {
        "path": result.document.source.name,
        "plan": result.document.plan.name,
        "mesh": {axis.name: axis.size for axis in result.resolved.axes},
        "verdict": result.verdict,
        "diagnostics": [_diagnostic(d) for d in result.diagnostics],
        "accepted": [
            {**_diagnostic(each.diagnostic), "reason": each.reason, "accepted_by": _location(each.label)}
            for each in result.accepted
        ],
        "skipped": [{"check": s.check, "why": s.reason} for s in result.skipped],
        "collectives": _collectives(result),
    }


def _collectives(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "kind": one.kind, "axis": one.axis, "direction": one.direction, "dtype": one.dtype,
            "bytes": one.bytes, "what": one.tensor, "module": one.module, "count": one.count,
            "rule": None if one.rule is None else _location(one.rule.location.label()),
        }
        for one in forecast(result)
    ]  # fmt: skip


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.law.code,
        "name": diagnostic.law.name,
        "severity": diagnostic.law.severity,
        "message": diagnostic.message,
        **_location(diagnostic.label),
        "others": [_location(other) for other in diagnostic.secondary],
        "module": diagnostic.module,
        "operation": diagnostic.operation,
        "notes": list(diagnostic.notes),
        "fix": _fix(diagnostic),
    }


def _location(label: Label) -> dict[str, Any]:
    span = label.span
    place = {"path": label.source.name, **_region(label.source, span)}
    return {"label": label.text, **place, "at": list(label.path)}


def _region(source: Source, span: Span) -> dict[str, int]:
    start, end = source.position(span.start), source.position(span.end)
    return {"line": start.line, "column": start.column, "end_line": end.line, "end_column": end.column}


def _fix(diagnostic: Diagnostic) -> dict[str, Any] | None:
    fix, source = diagnostic.fix, diagnostic.label.source
    if fix is None:
        return None
    edits = [{**_region(source, edit.span), "text": edit.text} for edit in fix.edits]
    return {"message": fix.message, "edits": edits}
