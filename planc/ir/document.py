"""A plan together with the text it was read from."""

from __future__ import annotations

from collections.abc import Callable

from planc.ir.diagnostic import Diagnostic, FieldPath, Label
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.source import Source, Span


class Document(Record):
    """A plan that was read from a source, with the diagnostics of reading it."""

    source: Source
    plan: Plan
    """All of the plan that could be read, without what could not."""
    span_at: Callable[[FieldPath], Span]
    """The span of the part of the plan at a path, or of the nearest part around it that has one."""
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
        """A part of the piece."""
        return PlanPath(self.document, (*self.path, *steps))
