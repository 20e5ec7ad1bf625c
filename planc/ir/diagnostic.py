"""Diagnostics: what is wrong with a plan, as values."""

from __future__ import annotations

from planc.ir.laws import Law, law_by_code
from planc.ir.record import Record
from planc.ir.source import Source, Span

PathStep = str | int
FieldPath = tuple[PathStep, ...]
"""A place in a plan's data form: field names and indices, `("blocks", 0, "rules", 2)`."""


class Label(Record):
    """A span of a source and what to say beside its caret."""

    source: Source
    span: Span
    text: str = ""
    path: FieldPath = ()
    """The place in the data form, where the plan is data."""


class Edit(Record):
    """Replace a span of the source by a text."""

    span: Span
    text: str


class Fix(Record):
    """A change that mends the plan; shown only after trying it."""

    message: str
    edits: tuple[Edit, ...] = ()


class Diagnostic(Record):
    """One fault: the law, the place, what was got and what was needed."""

    law: Law
    message: str
    """The headline: the law as it is broken here."""
    label: Label
    """The place; its text says what was got there."""
    secondary: tuple[Label, ...] = ()
    """Further places that have part in it."""
    notes: tuple[str, ...] = ()
    """Lines of the form `what: text`: `needed: ...`, `at: ...`."""
    fix: Fix | None = None
    module: str | None = None
    operation: str | None = None
    details: Record | None = None
    """The data that the sentences are made from, where a stage keeps it."""

    @property
    def headline(self) -> str:
        """The message, and what was got."""
        return f"{self.message}: {self.label.text}" if self.label.text else self.message

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, and before them the module and the operation."""
        said = [f"module: {self.module}"] if self.module and not self.has_module_note else []
        said += [f"operation: {self.operation}"] if self.operation else []
        return (*said, *self.notes)

    @property
    def has_module_note(self) -> bool:
        """Whether a note says at which modules this is."""
        return any(note.startswith("at: ") for note in self.notes)

    @property
    def is_error(self) -> bool:
        return self.law.severity == "error"


def diagnostic(
    code: str,
    label: Label,
    message: str,
    *notes: str,
    secondary: tuple[Label, ...] = (),
    fix: Fix | None = None,
    module: str | None = None,
    operation: str | None = None,
    details: Record | None = None,
) -> Diagnostic:
    """A diagnostic of the law with this code; every diagnostic of planc is made here.

    Args:
        code: the code of the law, as `N101`.
        label: the place in the plan; its text says what planc found there.
        message: the headline: how the law is violated here.
        notes: lines of the form `what: text`, as `needed: shard(DIM) or replicate`.
        secondary: further places that have part in it.
        fix: a change of the plan that may repair it; planc shows it only after trying it.
        module: the module of the model where it is, the first of them.
        operation: the operation of the model, with the layouts of its operands.
        details: the data that the sentences are made from.

    Raises:
        KeyError: no law has this code.
    """
    return Diagnostic(law_by_code(code), message, label, secondary, notes, fix, module, operation, details)


class SkippedCheck(Record):
    """A check that was not made, and why."""

    check: str
    reason: str
    axis: str | None = None
    """The axis whose size is all that is missing."""


class ModelFault(Exception):
    """A model or a graph that cannot be had; `diagnostic` says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.headline)
        self.diagnostic = diagnostic
