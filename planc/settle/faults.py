"""The faults and the skipped checks that settling a plan collects."""

from __future__ import annotations

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Fix, Label, Skipped


class Faults:
    """A list that stages add to."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []
        self.skipped: list[Skipped] = []

    def add(
        self,
        code: str,
        label: Label,
        message: str,
        *notes: str,
        others: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> None:
        self.found.append(Diagnostic(law(code), message, label, others, notes, fix))

    def skip(self, check: str, why: str, axis: str | None = None) -> None:
        self.skipped.append(Skipped(check, why, axis))
