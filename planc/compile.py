"""The stages of planc, on one screen. Data flows one way, and a stage returns new records.

read      a file                 -> Document     text or data; every broken line is a diagnostic
resolve   Document               -> Resolved     base plans, mesh sizes, options, lets, conditions
check     Resolved               -> diagnostics  the laws that need no model
bind      Resolved x ModelGraph  -> Binding      every pattern matched once
check     Binding                -> diagnostics  the laws that need a model
prove     Binding                -> Proof        the layout of every value and gradient, the collectives
forecast  Binding x Proof        -> Collectives  what one step sends over each axis
lower     Binding x Proof        -> Lowered      instructions for each module
apply     Lowered x nn.Module                    the instructions carried out, in place: needs torch

A diagnostic keeps its fix only if the plan was checked with the fix, and the fix works. Stages that only
some runs need are imported where they are called: a plan that is checked without a model does not pay
for the proof, and nothing but `apply` imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from planc.check_result import Result
from planc.fixes.try_fixes import keep_working_fixes
from planc.ir.diagnostic import AcceptedViolation, Diagnostic
from planc.ir.document import Document
from planc.ir.laws import LAWS, Stage
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.resolved import Resolved, Settings
from planc.resolve import resolve
from planc.syntax.read_file import read_path
from planc.verdict import BASE_PLAN_LAWS, lacks_base_plan, skipped_checks, verdict

if TYPE_CHECKING:
    from planc.bind.binding import Binding
    from planc.forecast.collectives import Collective
    from planc.ir.graph import ModelGraph
    from planc.ir.lowered import Lowered
    from planc.proof.result import Proof


class Diagnosis(Record):
    """What the stages from `resolve` to `prove` gave, before fixes are tried."""

    resolved: Resolved
    diagnostics: tuple[Diagnostic, ...]
    binding: Binding | None = None
    proof: Proof | None = None
    accepted: tuple[AcceptedViolation, ...] = ()


def read(path: str) -> Document:
    """Read a plan from a file, from standard input (`-`), or a shipped plan by its name.

    Raises:
        planc.syntax.read_file.PlanFileError: planc cannot find or read the file.
    """
    return read_path(path)


def check_document(
    document: Document, settings: Settings | None = None, graph: ModelGraph | None = None
) -> Result:
    """Check a plan: on a model where one is given, else as far as that is possible without."""
    settings = settings or Settings()
    found = diagnose(document, settings, graph)
    diagnostics = keep_working_fixes(document, settings, found.diagnostics, partial(diagnose, graph=graph))
    skipped = skipped_checks(found.resolved, settings, found.proof, graph)
    return Result(
        document,
        found.resolved,
        diagnostics,
        skipped,
        verdict(diagnostics, skipped, found.proof),
        found.binding,
        found.proof,
        found.accepted,
    )


def diagnose(document: Document, settings: Settings, graph: ModelGraph | None = None) -> Diagnosis:
    """Resolve, bind and prove a plan, and check every law on the way."""
    resolved = resolve(document, settings, graph.facts if graph else None)
    if document.plan == Plan() and any(each.is_error for each in document.diagnostics):
        # Nothing of the plan could be read: what an empty plan lacks is no fault of the user's.
        return Diagnosis(resolved, document.diagnostics)
    diagnostics = [*document.diagnostics, *resolved.diagnostics, *_check("check", resolved, settings)]
    if lacks_base_plan(resolved):
        diagnostics = [each for each in diagnostics if each.law.code not in BASE_PLAN_LAWS]
    if graph is None or lacks_base_plan(resolved):
        return Diagnosis(resolved, _in_source_order(diagnostics, resolved))
    from planc.bind.binding import bind
    from planc.proof.prove import prove

    binding = bind(resolved, graph)
    diagnostics += _check("model", binding, settings)
    if any(each.is_error for each in diagnostics):
        # The proof would blame right rules for what a missing or mistaken one does.
        return Diagnosis(resolved, _in_source_order(diagnostics, resolved), binding)
    proof = prove(binding)
    diagnostics += _proof_diagnostics(binding, proof)
    accepted: tuple[AcceptedViolation, ...] = ()
    if resolved.accepts:
        from planc.proof.accept_statements import find_accepted, idle_accepts

        accepted = find_accepted(binding, proof)
        diagnostics += idle_accepts(binding, proof, accepted, settings)
    return Diagnosis(resolved, _in_source_order(diagnostics, resolved), binding, proof, accepted)


def forecast(result: Result) -> tuple[Collective, ...]:
    """The collectives of one step: none where planc refuted the plan, or had no model to prove it on."""
    if result.binding is None or result.proof is None or result.is_refuted:
        return ()
    from planc.forecast.collectives import forecast_collectives

    return forecast_collectives(result.binding, result.proof)


def lower(result: Result) -> Lowered:
    """The instructions of a proved plan for each module.

    Raises:
        ValueError: planc did not prove the plan.
        LoweringError: no instructions do what the plan says.
    """
    if result.verdict != "proved" or result.binding is None or result.proof is None:
        raise ValueError(f"only a proved plan is lowered, and this one is {result.verdict}")
    from planc.lower.lower_plan import lower_binding

    return lower_binding(result.binding, result.proof)


def apply(lowered: Lowered, model: Any, mesh: Any) -> None:
    """Carry out the instructions on an `nn.Module`, in place. Every rank of the `DeviceMesh` calls this."""
    from planc.torch.apply.apply_lowered import apply_lowered

    apply_lowered(model, lowered, mesh)


def _check(stage: Stage, subject: Resolved | Binding, settings: Settings) -> Iterator[Diagnostic]:
    """The violations of all laws whose own check runs at a stage."""
    for law in LAWS:
        if law.stage == stage:
            yield from import_module(law.module).check(subject, settings)


def _proof_diagnostics(binding: Binding, proof: Proof) -> Iterator[Diagnostic]:
    """What the proof found, with changes of the plan that may mend it; most plans do not pay for these."""
    if proof.has_findings:
        from planc.fixes.suggest import suggest_fix
        from planc.proof.diagnose import proof_diagnostics

        yield from proof_diagnostics(proof, binding, partial(suggest_fix, binding))


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
