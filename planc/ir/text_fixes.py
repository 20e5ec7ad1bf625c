"""Fixes of one place in the text of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.source import Span


def replacement_fix(label: Label, replacement: str | None) -> Fix | None:
    """Replace a word by another one; None where there is none to replace it by."""
    if replacement is None:
        return None
    quote = '"' if label.source.text[label.span.start : label.span.start + 1] == '"' else ""
    return Fix(f"did you mean '{replacement}'?", (Edit(label.span, f"{quote}{replacement}{quote}"),))


def rename_fix(label: Label, name: str, replacement: str | None) -> Fix | None:
    """Replace the name at the beginning of a label, as the key of `hidden: stream -> replicate`."""
    at = label.source.text.find(name, label.span.start, label.span.end)
    if replacement is None or not 0 <= at - label.span.start <= 1:
        return None
    return Fix(f"did you mean '{replacement}'?", (Edit(Span(at, at + len(name)), replacement),))


def insert_lines_fix(label: Label, lines: Sequence[str], message: str) -> Fix | None:
    """Insert lines below the one where a label begins, with its indentation."""
    source = label.source
    if source.format != "text":
        return None
    line_start = source.text.rfind("\n", 0, label.span.start) + 1
    indent = source.text[line_start : label.span.start]
    end = source.text.find("\n", label.span.end)
    if indent.strip() or end < 0:
        return None
    return Fix(message, (Edit(Span(end, end), "".join(f"\n{indent}{line}" for line in lines)),))
