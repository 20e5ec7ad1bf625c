"""The stages of planc, on one screen.

read     a file            -> Document   (text or data; every broken line is reported)
settle   Document          -> Settled    (extends, mesh sizes, options, lets, conditions)
check    Settled           -> diagnostics
bind     Settled x graph   -> Binding    (every pattern matched once)
fit      Binding           -> diagnostics
prove    Binding           -> Proof      (layouts of all values and gradients, collectives)
mend     diagnostics       -> the same, with the fixes that really mend
"""

from __future__ import annotations

from importlib import import_module

from planc.checks import CHECKS
from planc.ir.diagnostic import Diagnostic, Skipped
from planc.ir.document import Document
from planc.ir.record import Record
from planc.ir.settled import Settings, Settled
from planc.mend import with_tried_fixes
from planc.settle import settle
from planc.skips import NEED_BASE, has_lost_base, skipped_without_model


class Result(Record):
    """What checking one plan gave."""

    document: Document
    settled: Settled
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[Skipped, ...]
    verdict: str
    """`checked`: no error, and no model given; `refuted`: an error."""

    @property
    def is_refuted(self) -> bool:
        return self.verdict == "refuted"


def check(document: Document, settings: Settings | None = None) -> Result:
    """Check a plan as far as that can be done without a model."""
    settings = settings or Settings()
    settled, found = diagnose(document, settings)
    found = with_tried_fixes(document, settings, found, diagnose)
    skipped = (*settled.skipped, *skipped_without_model(settled, settings))
    verdict = "refuted" if any(d.is_error for d in found) else "checked"
    return Result(document, settled, found, skipped, verdict)


def diagnose(document: Document, settings: Settings) -> tuple[Settled, tuple[Diagnostic, ...]]:
    """Settle a plan and hold it against every law; fixes are not tried yet."""
    settled = settle(document, settings)
    found = [*document.faults, *settled.faults]
    for row in CHECKS:
        if row.stage == "check":
            found += import_module(row.module).check(settled, settings)
    if has_lost_base(settled):
        found = [fault for fault in found if fault.law.code not in NEED_BASE]
    return settled, _ordered(found, settled)


def _ordered(found: list[Diagnostic], settled: Settled) -> tuple[Diagnostic, ...]:
    """By place: the plan first, then its base plans, each from the top; none twice."""
    if not found:
        return ()
    names = [document.source.name for document in settled.documents]

    def place(diagnostic: Diagnostic) -> tuple[int, int, str]:
        name = diagnostic.label.source.name
        number = names.index(name) if name in names else len(names)
        return number, diagnostic.label.span.start, diagnostic.law.code

    return tuple(sorted(dict.fromkeys(found), key=place))
