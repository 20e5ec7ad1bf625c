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

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from planc.checks import CHECKS
from planc.ir.diagnostic import Diagnostic, Skipped
from planc.ir.document import Document
from planc.ir.record import Record
from planc.ir.settled import Settings, Settled
from planc.mend import with_tried_fixes
from planc.settle import settle
from planc.skips import NEED_BASE, has_lost_base, skipped_checks

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph
    from planc.layouts.prove import Proof
    from planc.resolve.bind import Binding


class Found(Record):
    """What the stages gave."""

    settled: Settled
    diagnostics: tuple[Diagnostic, ...]
    binding: Binding | None = None
    """The plan bound to the model, where one is given and the plan can be read."""
    proof: Proof | None = None


class Result(Record):
    """What checking one plan gave."""

    document: Document
    settled: Settled
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[Skipped, ...]
    verdict: str
    """`proved`: right for this model and mesh; `refuted`: an error; `unproved`: no error, but
    not all could be shown; `checked`: no error, and no model given."""
    binding: Binding | None = None
    proof: Proof | None = None

    def __repr__(self) -> str:
        """Short: all that it holds would fill a screen a hundred times."""
        return (
            f"<Result of {self.document.source.name}: {self.verdict}, diagnostics: {len(self.diagnostics)}>"
        )

    @property
    def is_refuted(self) -> bool:
        return self.verdict == "refuted"


def check(document: Document, settings: Settings | None = None, graph: ModelGraph | None = None) -> Result:
    """Check a plan: against a model where one is given, else as far as that can be done without."""
    settings = settings or Settings()
    found = diagnose(document, settings, graph)
    said = with_tried_fixes(document, settings, found.diagnostics, partial(diagnose, graph=graph))
    skipped = (*found.settled.skipped, *skipped_checks(found.settled, settings, found.proof, graph))
    verdict = _verdict(said, skipped, found)
    return Result(document, found.settled, said, skipped, verdict, found.binding, found.proof)


def diagnose(document: Document, settings: Settings, graph: ModelGraph | None = None) -> Found:
    """Settle a plan and hold it against every law; fixes are not tried yet."""
    settled = settle(document, settings, graph.facts if graph else None)
    said = [*document.faults, *settled.faults]
    for row in CHECKS:
        if row.stage == "check":
            said += import_module(row.module).check(settled, settings)
    if has_lost_base(settled):
        said = [fault for fault in said if fault.law.code not in NEED_BASE]
    if graph is None or has_lost_base(settled):
        return Found(settled, _ordered(said, settled))
    # Loaded here: a plan that is checked without a model does not pay for it.
    from planc.layouts.prove import prove
    from planc.layouts.say import diagnostics
    from planc.resolve.bind import bind

    binding = bind(settled, graph)
    for row in CHECKS:
        if row.stage == "model":
            said += import_module(row.module).check(binding, settings)
    if any(fault.is_error for fault in said):
        # A rule that is not there, or not as it was meant, would make faults of right ones.
        return Found(settled, _ordered(said, settled), binding)
    proof = prove(binding)
    return Found(settled, _ordered([*said, *diagnostics(proof, binding)], settled), binding, proof)


def _verdict(said: tuple[Diagnostic, ...], skipped: tuple[Skipped, ...], found: Found) -> str:
    if any(fault.is_error for fault in said):
        return "refuted"
    if found.proof is None:
        return "checked"
    # Every size of an axis that only splits the batch is proved at once.
    weak = [check for check in skipped if check.axis is None or check.axis in found.proof.open]
    is_open = bool(weak) or any(fault.law.name == "not-proved" for fault in said)
    return "unproved" if is_open else "proved"


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
