"""Diagnostics in the terminal: headline, source line, caret, notes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from planc.ir.diagnostic import Diagnostic, Label

MAX_WIDTH = 120
"""Columns of a source line that a report shows; of a longer line it shows the part around the caret."""

_CODES = {"error": "1;31", "warning": "1;33", "bold": "1", "blue": "1;34", "green": "1;32"}


class Palette:
    """Terminal colours, or none."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.enabled and text else text


def wants_color(stream: TextIO) -> bool:
    """Whether to use colours: on a terminal unless NO_COLOR is set, and always if FORCE_COLOR is set."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> int:
    """Print diagnostics on standard error. Returns the exit status of a plan with errors."""
    paint = Palette(wants_color(sys.stderr))
    sys.stderr.write("\n".join(render_diagnostic(diagnostic, paint) for diagnostic in diagnostics))
    sys.stderr.flush()
    return 1


def render_diagnostic(diagnostic: Diagnostic, palette: Palette | None = None) -> str:
    """One diagnostic as lines of text, with a newline at the end."""
    palette = palette or Palette(False)
    law, labels = diagnostic.law, (diagnostic.label, *diagnostic.secondary)
    lines = [
        f"{palette(law.severity, f'{law.severity}[{law.code}]')}"
        f"{palette('bold', f': {sanitize(diagnostic.message)}')}"
    ]
    gutter = max(len(str(_line(label))) for label in labels)
    for i, label in enumerate(labels):
        lines += _snippet(label, gutter, palette, law.severity if i == 0 else "blue", first=i == 0)
    notes = list(diagnostic.all_notes)
    if diagnostic.label.path and diagnostic.label.source.format != "text" and not diagnostic.has_module_note:
        notes.insert(len(notes) - len(diagnostic.notes), f"at: {_dotted(diagnostic.label)}")
    if diagnostic.fix is not None:
        notes.append(f"help: {diagnostic.fix.message}")
    for note in notes:
        what, _, text = note.partition(": ")
        lines.append(
            f"{' ' * gutter} {palette('blue', '=')} {palette('bold', f'{sanitize(what)}:')} {sanitize(text)}"
        )
    return "\n".join(lines) + "\n"


def _dotted(label: Label) -> str:
    text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in label.path)
    return text.lstrip(".")


def _line(label: Label) -> int:
    return label.source.position(label.span.start).line


def _snippet(label: Label, gutter: int, palette: Palette, style: str, *, first: bool) -> list[str]:
    source = label.source
    start = source.position(label.span.start)
    end = source.position(label.span.end)
    arrow = "-->" if first else ":::"
    place = f"{sanitize(source.name)}:{start.line}:{start.column}"
    lines = [f"{' ' * gutter}{palette('blue', arrow)} {place}"]
    if not source.text:
        return lines
    text = source.line(start.line)
    last = end.column - 1 if end.line == start.line else len(text)
    shown, caret, width = _window(text, start.column - 1, max(last, start.column))
    bar = palette("blue", "|")
    pad = " " * gutter
    mark = ("^" if first else "-") * width
    text_after = f" {sanitize(label.text)}" if label.text else ""
    lines.append(f"{pad} {bar}")
    lines.append(f"{palette('blue', f'{start.line:>{gutter}}')} {bar} {shown}".rstrip())
    lines.append(f"{pad} {bar} {' ' * caret}{palette(style, mark + text_after)}")
    return lines


def _window(text: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a line around a span, the column of the caret in it, and the width of the caret."""
    lead = trail = ""
    if len(text) > MAX_WIDTH:
        left = max(0, min(start - MAX_WIDTH // 3, len(text) - MAX_WIDTH))
        right = min(len(text), left + MAX_WIDTH)
        lead, trail = "..." if left else "", "..." if right < len(text) else ""
        text, start, end = text[left:right], start - left, min(end, right) - left
    before, marked = sanitize(text[:start]), sanitize(text[start:end])
    shown = f"{lead}{before}{marked}{sanitize(text[end:])}{trail}"
    return shown, len(lead) + _columns(before), max(1, _columns(marked))


def _columns(text: str) -> int:
    """The width of a text in terminal columns."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def sanitize(text: str) -> str:
    """A text without control characters and escape sequences: a plan may come from anybody."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\t", "    ")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
