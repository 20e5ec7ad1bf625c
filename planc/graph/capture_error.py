"""Faults of models and graphs, as diagnostics of the words that named them."""

from __future__ import annotations

from typing import NoReturn

from planc.ir.diagnostic import Edit, Fix, Label, ModelFault, diagnostic
from planc.ir.source import Source, Span


class CaptureError(ModelFault):
    """A model that cannot be captured, or a file that holds no graph."""


def word_label(source: Source, word: str = "") -> Label:
    """A word of the command line, or the first place of a part of it."""
    start = source.text.find(word) if word else 0
    if start < 0:
        start, word = 0, ""
    return Label(source, Span(start, start + len(word or source.text)))


def raise_capture_error(
    code: str,
    label: Label,
    message: str,
    *notes: str,
    suggestion: str | None = None,
    module: str | None = None,
    operation: str | None = None,
) -> NoReturn:
    """End a capture with a diagnostic.

    Raises:
        CaptureFault: always.
    """
    fix = None
    if suggestion is not None:
        fix = Fix(f"did you mean '{suggestion}'?", (Edit(label.span, suggestion),))
    raise CaptureError(diagnostic(code, label, message, *notes, fix=fix, module=module, operation=operation))
