"""Faults of a capture, as diagnostics of the command line's words."""

from __future__ import annotations

import traceback
from typing import NoReturn

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Edit, Fix, Label
from planc.ir.source import Source, Span
from planc.near import nearest


class CaptureFault(Exception):
    """A model that cannot be captured; `diagnostic` says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.headline)
        self.diagnostic = diagnostic


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


def near(word: str, names: list[str]) -> str | None:
    """The name that was meant, also where only the case is wrong."""
    folded = {name.lower(): name for name in names}
    return folded.get(word.lower()) or nearest(word, names)


def raised_line(raised: BaseException) -> str:
    """The last line of an exception."""
    lines = traceback.format_exception_only(raised)
    text = (lines[-1] if lines else "").strip() or type(raised).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def raised_place(raised: BaseException) -> str | None:
    """The place in the model's own code where an exception was raised."""
    frames = traceback.extract_tb(raised.__traceback__)
    foreign = ("/torch/", "\\torch\\", "<frozen", "importlib")
    own = [frame for frame in frames if not any(part in frame.filename for part in foreign)]
    if not own:
        return None
    last = own[-1]
    return f"{last.filename}:{last.lineno} in {last.name}"
