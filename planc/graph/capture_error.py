"""What is wrong with a model or a graph, as diagnostics at the words that name it."""

from __future__ import annotations

from typing import NoReturn

from planc.ir.diagnostic import Edit, Fix, Label, ModelFault, diagnostic
from planc.ir.source import Source, Span


class CaptureError(ModelFault):
    """A model that planc cannot capture, or a file that holds no graph."""


def word_label(source: Source, word: str = "") -> Label:
    """The label of an argument, or of the first occurrence of a word in it."""
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
    """Raise a diagnostic as a `CaptureError`.

    Args:
        code: the law, as `G802`.
        label: the words that the diagnostic points at.
        message: what is wrong.
        notes: more about it, a line each.
        suggestion: the name that the user probably meant in place of the label's words.
        module: the module of the model where it happened.
        operation: the operation where it happened.

    Raises:
        CaptureError: always.
    """
    fix = None
    if suggestion is not None:
        fix = Fix(f"did you mean '{suggestion}'?", (Edit(label.span, suggestion),))
    raise CaptureError(diagnostic(code, label, message, *notes, fix=fix, module=module, operation=operation))
