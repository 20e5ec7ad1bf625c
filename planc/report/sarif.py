"""Results as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from planc.check_result import Result
from planc.checks import law_page
from planc.ir.diagnostic import AcceptedViolation, Diagnostic, Label
from planc.ir.laws import Law
from planc.version import __version__


def to_sarif(results: Sequence[Result]) -> str:
    """One SARIF log with one run."""
    found = [d for result in results for d in result.diagnostics]
    accepted = [each for result in results for each in result.accepted]
    laws = {d.law.code: d.law for d in (*found, *(each.diagnostic for each in accepted))}
    run = {
        "tool": {"driver": {"name": "planc", "version": __version__,
                            "rules": [_rule(law) for law in laws.values()]}},
        "columnKind": "unicodeCodePoints",
        "results": [*map(_result, found), *map(_suppressed, accepted)],
    }  # fmt: skip
    schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(law: Law) -> dict[str, Any]:
    title, page = law_page(law)
    return {
        "id": law.code,
        "name": law.name,
        "shortDescription": {"text": title},
        "help": {"text": page},
        "defaultConfiguration": {"level": law.severity},
    }


def _result(diagnostic: Diagnostic) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.law.code,
        "level": diagnostic.law.severity,
        "message": {"text": "\n".join([diagnostic.headline, *diagnostic.all_notes])},
        "locations": [_location(diagnostic.label)],
    }
    if diagnostic.secondary:
        result["relatedLocations"] = [
            _location(o) | {"message": {"text": o.text or "see also"}} for o in diagnostic.secondary
        ]
    if diagnostic.fix is not None and diagnostic.fix.edits:
        changes = [
            {"deletedRegion": _region(diagnostic.label, e.span.start, e.span.end),
             "insertedContent": {"text": e.text}}
            for e in diagnostic.fix.edits
        ]  # fmt: skip
        artifact = {"uri": _uri(diagnostic.label.source.name)}
        result["fixes"] = [
            {"description": {"text": diagnostic.fix.message},
             "artifactChanges": [{"artifactLocation": artifact, "replacements": changes}]}
        ]  # fmt: skip
    return result


def _suppressed(accepted: AcceptedViolation) -> dict[str, Any]:
    """A violation that a line of the plan accepts."""
    by: dict[str, Any] = {"kind": "inSource", "status": "accepted", "justification": accepted.reason,
                          "location": _location(accepted.label)}  # fmt: skip
    return {**_result(accepted.diagnostic), "suppressions": [by]}


def _location(label: Label) -> dict[str, Any]:
    region = _region(label, label.span.start, label.span.end)
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(label.source.name)}, "region": region}}


def _region(label: Label, first: int, last: int) -> dict[str, int]:
    start, end = label.source.position(first), label.source.position(last)
    return {"startLine": start.line, "startColumn": start.column,
            "endLine": end.line, "endColumn": end.column}  # fmt: skip


def _uri(name: str) -> str:
    """A relative reference to a file; names like `<stdin>` lose their brackets."""
    return quote(name.strip("<>").replace(os.sep, "/"))
