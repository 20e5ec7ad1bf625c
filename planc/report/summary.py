"""The report of `planc check` in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from planc.check_result import Result
from planc.report.text import Palette, render_diagnostic, sanitize, wants_color


def render_results(results: Sequence[Result], *, quiet: bool = False) -> str:
    """Every diagnostic, then a line or more for each plan."""
    paint = Palette(wants_color(sys.stdout))
    parts = []
    for result in results:
        parts += [render_diagnostic(d, paint) + "\n" for d in result.diagnostics]
        if result.diagnostics or not quiet:
            parts.append(_verdict(result, paint))
            parts += [_accepted(result), _skipped(result)] if not quiet and not result.is_refuted else []
    return "".join(parts)


def verdict_line(result: Result) -> str:
    """The plan, the mesh and the verdict in one line, without colours."""
    return _verdict(result, Palette(False)).strip()


def _verdict(result: Result, palette: Palette) -> str:
    errors = sum(d.is_error for d in result.diagnostics)
    warnings = len(result.diagnostics) - errors
    counts = [_count(errors, "error")] * bool(errors) + [_count(warnings, "warning")] * bool(warnings)
    name = sanitize(result.document.source.name)
    mesh = " x ".join(f"{sanitize(a.name)}={'?' if a.size is None else a.size}" for a in result.resolved.axes)
    on = f" on {mesh}" if mesh else ""
    if result.is_refuted:
        return f"{name}: {palette('error', 'refuted')}{on}: {', '.join(counts)}\n"
    counts += [f"{len(result.accepted)} accepted"] * bool(result.accepted)
    issues = f", {', '.join(counts)}" if counts else ", no issues found"
    return f"{name}: {palette('green', result.verdict)}{on}{issues}\n"


def _accepted(result: Result) -> str:
    """What the plan accepts, a line each."""
    return "".join(f"  {sanitize(each.summary)}\n" for each in result.accepted)


def _skipped(result: Result) -> str:
    """The checks that were not made, by reason."""
    reasons: dict[str, list[str]] = {}
    for skipped in result.skipped:
        reasons.setdefault(skipped.reason, []).append(skipped.check)
    return "".join(
        f"  not checked, {sanitize(reason)}:\n" + "".join(f"    - {sanitize(check)}\n" for check in checks)
        for reason, checks in reasons.items()
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
