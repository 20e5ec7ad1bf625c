"""A plan together with the text it was read from."""

from __future__ import annotations

from collections.abc import Callable

from planc.ir.diagnostic import Diagnostic, FieldPath, Label
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.source import Source, Span


class Document(Record):
    """What reading a source gave: a plan, and what was wrong with its form."""

    source: Source
    plan: Plan
    """All that could be read; what is faulty is left out."""
    span_at: Callable[[FieldPath], Span]
    """Where a piece of the plan stands: the nearest enclosing piece that has a place."""
    diagnostics: tuple[Diagnostic, ...] = ()
    unparsed_words: frozenset[str] = frozenset()
    """Words of the lines that could not be read: they may be names that others use."""

    def label(self, path: FieldPath, text: str = "") -> Label:
        """Points at a piece of the plan."""
        found = self.span_at(path)
        return Label(self.source, self.source.span(found.start, found.end), text, path)


class PlanPath(Record):
    """A piece of a plan in its document."""

    document: Document
    path: FieldPath

    def label(self, text: str = "", *steps: str | int) -> Label:
        """Points at the piece, or at a part of it."""
        return self.document.label((*self.path, *steps), text)

    def child(self, *steps: str | int) -> PlanPath:
        return PlanPath(self.document, (*self.path, *steps))
