"""The statements of a plan that accept violations: what each accepts, and those that accept nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planc.bind.binding import ACCEPTS, Binding
from planc.ir.diagnostic import AcceptedViolation, Diagnostic, diagnostic
from planc.ir.laws import law_by_code
from planc.ir.resolved import Located, Settings
from planc.proof.diagnose import accepted_violations
from planc.proof.result import Proof


def find_accepted(binding: Binding, proof: Proof) -> tuple[AcceptedViolation, ...]:
    """The violations that the plan accepts, each with the statement that does."""
    found: list[AcceptedViolation] = []
    for each, number, modules in accepted_violations(proof, binding):
        statement = binding.resolved.accepts[number]
        found.append(AcceptedViolation(each, statement.value.reason, statement.location.label(), modules))
    return tuple(found)


def idle_accepts(
    binding: Binding, proof: Proof, accepted: Sequence[AcceptedViolation], settings: Settings
) -> Iterator[Diagnostic]:
    """The statements that accept nothing, on a mesh where they could."""
    analyses = (each for axis in proof.axes for each in axis.analysis.distinct_analyses())
    has_unknown = any(each.has_unknown for each in analyses)
    used = {(each.label.source.name, each.label.span) for each in accepted}
    for number, statement in enumerate(binding.resolved.accepts):
        label = statement.location.label()
        if (label.source.name, label.span) in used or settings.idle_accepts:
            continue
        is_matched = (ACCEPTS, number, 0) in binding.matched_patterns
        if is_matched and has_unknown:
            continue  # behind another violation, planc judges nothing
        if _could_accept(statement, proof) and (is_matched or not statement.value.pattern.optional):
            yield _idle(statement, is_matched)


def _could_accept(statement: Located, proof: Proof) -> bool:
    """Whether an axis is proved on which the law can be broken: on one of a single rank nothing is."""
    code = statement.value.code
    axes = [axis for axis in proof.axes if code != "L709" or not axis.splits_tensors]
    return bool(axes) and law_by_code(code).acceptable


def _idle(statement: Located, is_matched: bool) -> Diagnostic:
    accept = statement.value
    if is_matched:
        got = f"the code of no such module breaks {accept.code}, or planc could not go on behind it"
        label = statement.location.label(got, "pattern")
    else:
        label = statement.location.label("no module matches", "pattern")
    needed = "needed: the module that the report names, or no such line"
    return diagnostic("R309", label, f"this accepts no violation of {accept.code}", needed)
