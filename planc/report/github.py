"""Results as GitHub workflow commands, which annotate the lines of a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from planc.check_result import Result
from planc.ir.diagnostic import Diagnostic, Label
from planc.report.text import sanitize


def to_github(results: Sequence[Result]) -> str:
    """One command for each diagnostic, on a line of its own."""
    return "".join(f"{_command(d)}\n" for result in results for d in result.diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    label, law = diagnostic.label, diagnostic.law
    start, end = label.source.position(label.span.start), label.source.position(label.span.end)
    values = {
        "file": label.source.name,
        "line": start.line,
        "col": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "title": f"planc {law.code} ({law.name})",
    }
    properties = ",".join(f"{key}={_property(str(value))}" for key, value in values.items())
    others = [_related(other) for other in diagnostic.secondary]
    fix = [f"help: {diagnostic.fix.message}"] if diagnostic.fix else []
    lines = [sanitize(line) for line in (diagnostic.headline, *diagnostic.all_notes, *others, *fix)]
    text = "\n".join(lines)
    return f"::{law.severity} {properties}::{_message(text)}"


def _related(label: Label) -> str:
    line = label.source.position(label.span.start).line
    return f"see: {label.source.name}:{line}" + (f": {label.text}" if label.text else "")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
