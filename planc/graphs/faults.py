"""Faults of models and graphs, as diagnostics of the words that named them."""

from __future__ import annotations

from typing import NoReturn

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Edit, Fix, Label, ModelFault
from planc.ir.source import Source, Span


class CaptureFault(ModelFault):
    """A model that cannot be captured, or a file that holds no graph."""


def whole(source: Source, part: str = "") -> Label:
    """A word of the command line, or the first place of a part of it."""
    start = source.text.find(part) if part else 0
    if start < 0:
        start, part = 0, ""
    return Label(source, Span(start, start + len(part or source.text)))


def refuse(
    code: str,
    message: str,
    label: Label,
    *notes: str,
    meant: str | None = None,
    module: str | None = None,
    operation: str | None = None,
) -> NoReturn:
    """End a capture with a diagnostic.

    Raises:
        CaptureFault: always.
    """
    fix = None
    if meant is not None:
        fix = Fix(f"did you mean '{meant}'?", (Edit(label.span, meant),))
    raise CaptureFault(Diagnostic(law(code), message, label, (), notes, fix, module, operation))
