"""Collects the diagnostics and the skipped checks of resolving a plan."""

from __future__ import annotations

from planc.ir.diagnostic import Diagnostic, Fix, Label, SkippedCheck, diagnostic


class DiagnosticSink:
    """What the steps of resolving a plan report to."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.skipped: list[SkippedCheck] = []

    def report(
        self,
        code: str,
        label: Label,
        message: str,
        *notes: str,
        secondary: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> None:
        """Add a diagnostic: see `planc.ir.diagnostic.diagnostic`."""
        self.diagnostics.append(diagnostic(code, label, message, *notes, secondary=secondary, fix=fix))

    def skip(self, check: str, reason: str, axis: str | None = None) -> None:
        """Add a check that cannot be made.

        Args:
            axis: the axis, where only its size is missing.
        """
        self.skipped.append(SkippedCheck(check, reason, axis))
