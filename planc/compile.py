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

from planc.checks.skipped import BASE_PLAN_LAWS, lacks_base_plan, skipped_checks
from planc.fixes.try_fixes import keep_working_fixes
from planc.ir.diagnostic import Diagnostic, SkippedCheck
from planc.ir.document import Document
from planc.ir.laws import LAWS
from planc.ir.record import Record
from planc.ir.resolved import Resolved, Settings
from planc.resolve import resolve

if TYPE_CHECKING:
    from planc.bind.binding import Binding
    from planc.ir.graph import ModelGraph
    from planc.proof.prove import Proof


class Diagnosis(Record):
    """What the stages gave."""

    resolved: Resolved
    diagnostics: tuple[Diagnostic, ...]
    binding: Binding | None = None
    """The plan bound to the model, where one is given and the plan can be read."""
    proof: Proof | None = None


class Result(Record):
    """What checking one plan gave."""

    document: Document
    resolved: Resolved
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[SkippedCheck, ...]
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


def check_document(
    document: Document, settings: Settings | None = None, graph: ModelGraph | None = None
) -> Result:
    """Check a plan: against a model where one is given, else as far as that can be done without."""
    settings = settings or Settings()
    found = diagnose(document, settings, graph)
    said = keep_working_fixes(document, settings, found.diagnostics, partial(diagnose, graph=graph))
    skipped = (*found.resolved.skipped, *skipped_checks(found.resolved, settings, found.proof, graph))
    verdict = _verdict(said, skipped, found)
    return Result(document, found.resolved, said, skipped, verdict, found.binding, found.proof)


def diagnose(document: Document, settings: Settings, graph: ModelGraph | None = None) -> Diagnosis:
    """Settle a plan and hold it against every law; fixes are not tried yet."""
    settled = resolve(document, settings, graph.facts if graph else None)
    said = [*document.diagnostics, *settled.diagnostics]
    for law in LAWS:
        if law.stage == "check":
            said += import_module(law.module).check(settled, settings)
    if lacks_base_plan(settled):
        said = [fault for fault in said if fault.law.code not in BASE_PLAN_LAWS]
    if graph is None or lacks_base_plan(settled):
        return Diagnosis(settled, _in_source_order(said, settled))
    # Loaded here: a plan that is checked without a model does not pay for it.
    from planc.bind.binding import bind
    from planc.proof.diagnose import proof_diagnostics
    from planc.proof.prove import prove

    binding = bind(settled, graph)
    for law in LAWS:
        if law.stage == "model":
            said += import_module(law.module).check(binding, settings)
    if any(fault.is_error for fault in said):
        # A rule that is not there, or not as it was meant, would make faults of right ones.
        return Diagnosis(settled, _in_source_order(said, settled), binding)
    proof = prove(binding)
    return Diagnosis(
        settled, _in_source_order([*said, *proof_diagnostics(proof, binding)], settled), binding, proof
    )


def _verdict(
    diagnostics: tuple[Diagnostic, ...], skipped: tuple[SkippedCheck, ...], diagnosis: Diagnosis
) -> str:
    if any(fault.is_error for fault in diagnostics):
        return "refuted"
    if diagnosis.proof is None:
        return "checked"
    # Every size of an axis that only splits the batch is proved at once.
    weak = [check for check in skipped if check.axis is None or check.axis in diagnosis.proof.unsized_axes]
    is_open = bool(weak) or any(fault.law.name == "not-proved" for fault in diagnostics)
    return "unproved" if is_open else "proved"


def _in_source_order(diagnostics: list[Diagnostic], resolved: Resolved) -> tuple[Diagnostic, ...]:
    """By place: the plan first, then its base plans, each from the top; none twice."""
    if not diagnostics:
        return ()
    names = [document.source.name for document in resolved.documents]

    def place(diagnostic: Diagnostic) -> tuple[int, int, str]:
        name = diagnostic.label.source.name
        number = names.index(name) if name in names else len(names)
        return number, diagnostic.label.span.start, diagnostic.law.code

    return tuple(sorted(dict.fromkeys(diagnostics), key=place))
