"""Diagnostics: the errors and warnings of a plan, as values."""

from __future__ import annotations

from planc.ir.laws import Law, law_by_code
from planc.ir.record import Record
from planc.ir.source import Source, Span

PathStep = str | int
FieldPath = tuple[PathStep, ...]
"""A place in a plan's data form: field names and indices, `("blocks", 0, "rules", 2)`."""


class Label(Record):
    """A span of a source, and the text beside its caret."""

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
    """A change of the plan that removes a diagnostic. planc shows it only after trying it."""

    message: str
    edits: tuple[Edit, ...] = ()


class Diagnostic(Record):
    """A violation of a law: where it is, what the plan has there, and what is needed."""

    law: Law
    message: str
    """The headline: how the law is violated here."""
    label: Label
    """The place; its text says what planc found there."""
    secondary: tuple[Label, ...] = ()
    """Further places that are part of it."""
    notes: tuple[str, ...] = ()
    """Lines of the form `what: text`: `needed: ...`, `at: ...`."""
    fix: Fix | None = None
    module: str | None = None
    """The dotted name of the module where it is; of several modules, the first."""
    operation: str | None = None
    """The operation of the model, with the layouts of its operands."""
    details: Record | None = None
    """The data that the sentences are made from, where a stage keeps it."""

    @property
    def headline(self) -> str:
        """The message, and the text of the label."""
        return f"{self.message}: {self.label.text}" if self.label.text else self.message

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, after those of the module and the operation."""
        context = [f"module: {self.module}"] if self.module and not self.has_module_note else []
        context += [f"operation: {self.operation}"] if self.operation else []
        return (*context, *self.notes)

    @property
    def has_module_note(self) -> bool:
        """Whether a note already names the modules."""
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
        secondary: further places that are part of it.
        fix: a change of the plan that may repair it; planc shows it only after trying it.
        module: the module of the model where it is, the first of them.
        operation: the operation of the model, with the layouts of its operands.
        details: the data that the sentences are made from.

    Raises:
        KeyError: no law has this code.
    """
    return Diagnostic(law_by_code(code), message, label, secondary, notes, fix, module, operation, details)


class AcceptedViolation(Record):
    """A violation that the plan accepts."""

    diagnostic: Diagnostic
    """As it would be reported."""
    reason: str
    """Why it is meant, as the plan says."""
    label: Label
    """The statement that accepts it."""
    modules: tuple[str, ...]
    """The modules that have it, by their names in the model."""

    @property
    def summary(self) -> str:
        """One line: the law, the modules, the reason."""
        first, *others = (name or "root" for name in self.modules)
        at = f"{first} and {len(others)} more" if others else first
        return f"accepted {self.diagnostic.law.code} at {at}: {self.reason}"


class SkippedCheck(Record):
    """A check that planc could not make, and why."""

    check: str
    reason: str
    axis: str | None = None
    """The axis whose size is the only thing that is missing."""


class ModelFault(Exception):
    """planc cannot find, build or capture a model, or read its graph; `diagnostic` says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.headline)
        self.diagnostic = diagnostic
