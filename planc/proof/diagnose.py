"""What the proof found, as diagnostics: the rule to blame, the modules, the operation, got and needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from planc.bind.binding import Binding
from planc.ir.diagnostic import Diagnostic, Fix, Label, diagnostic
from planc.ir.laws import law_by_code
from planc.ir.resolved import Located
from planc.proof.accepted import reported_law
from planc.proof.result import (
    AxisProof,
    Finding,
    Proof,
    RedundantCollective,
    RegionFinding,
    RepeatedGather,
    Violation,
    join_module_path,
)
from planc.proof.sentences import (
    HEADLINES,
    REDUNDANCY_HEADLINES,
    describe_cause,
    describe_point,
    describe_redundancy,
)
from planc.proof.size_sentences import describe_expression, describe_parts
from planc.proof.violations import UNIT_LAWS, SizeRead

Suggest = Callable[[Finding | RegionFinding], Fix | None]


def proof_diagnostics(proof: Proof, binding: Binding, suggest: Suggest) -> Iterator[Diagnostic]:
    """Everything that the proof found, each finding once, however many modules have it.

    Args:
        proof: the proof.
        binding: the plan and the model.
        suggest: gives a change of the plan that may mend a finding.
    """
    for axis in proof.axes:
        for finding in _violations(axis):
            yield _violation_diagnostic(finding, binding, suggest)
        if axis.splits_tensors:
            for finding in _redundant_collectives(axis):
                yield _redundancy_diagnostic(finding, suggest)
    for each in _region_findings(proof):
        yield _region_diagnostic(each, suggest)


def accepted_violations(proof: Proof, binding: Binding) -> Iterator[tuple[Diagnostic, int, tuple[str, ...]]]:
    """The violations that the plan accepts, as `proof_diagnostics` has others; the numbers of its statements; the modules."""
    for axis in proof.axes:
        for finding in _violations(axis, accepted=True):
            assert isinstance(finding.issue, Violation)
            number = finding.issue.accepted_by
            assert number is not None
            yield _violation_diagnostic(finding, binding, lambda _: None), number, finding.modules


def _violations(axis: AxisProof, *, accepted: bool = False) -> list[Finding]:
    """The violations on an axis, or those that are accepted; those of one rule, law and operation are one finding."""
    groups: dict[object, tuple[Violation, list[str]]] = {}
    for path, analysis in axis.analysis.walk():
        for violation in analysis.accepted if accepted else analysis.violations:
            start = _blamed_rule(violation, axis)[0].span.start
            point = violation.point
            key = (
                violation.law, start, point.kind, point.name, str(point.operands), violation.accepted_by
            )  # fmt: skip
            groups.setdefault(key, (violation, []))[1].append(join_module_path(path, violation.module))
    return [Finding(first, tuple(dict.fromkeys(modules)), axis) for first, modules in groups.values()]


def _region_findings(proof: Proof) -> list[RegionFinding]:
    """The violations of recomputed regions; those of one line and operation are one finding."""
    groups: dict[object, tuple[Violation, list[str]]] = {}
    for violation in proof.region_violations:
        key = (violation.origin, violation.point, violation.cause)
        groups.setdefault(key, (violation, []))[1].append(violation.module)
    return [RegionFinding(first, tuple(dict.fromkeys(modules))) for first, modules in groups.values()]


def _redundant_collectives(axis: AxisProof) -> list[Finding]:
    """The redundant collectives on an axis; equal ones of one rule are one finding."""
    groups: dict[object, tuple[RedundantCollective, list[str]]] = {}
    for path, analysis in axis.analysis.walk_findings():
        for redundant in analysis.redundant_collectives:
            redundancy = redundant.redundancy
            if isinstance(redundancy, RepeatedGather):
                redundancy = redundancy.with_(bytes_saved=0)  # layers may differ in size
            key = (id(redundant.rule), redundancy)
            groups.setdefault(key, (redundant, []))[1].append(join_module_path(path, redundant.module))
    return [Finding(first, tuple(modules), axis) for first, modules in groups.values()]


def _redundancy_diagnostic(finding: Finding, suggest: Suggest) -> Diagnostic:
    redundant, modules = finding.issue, finding.modules
    assert isinstance(redundant, RedundantCollective)
    code, headline = REDUNDANCY_HEADLINES[type(redundant.redundancy)]
    got, needed = describe_redundancy(redundant.redundancy)
    rule = redundant.rule or finding.axis.block
    return diagnostic(
        code,
        rule.location.label(got),
        headline,
        *_others_note(modules),
        f"needed: {needed}",
        secondary=tuple(other.location.label("and here") for other in redundant.others),
        fix=suggest(finding),
        module=modules[0] or "root",
        details=redundant.redundancy,
    )


def _violation_diagnostic(finding: Finding, binding: Binding, suggest: Suggest) -> Diagnostic:
    violation, modules, axis = finding.issue, finding.modules, finding.axis
    assert isinstance(violation, Violation)
    splits_batch = not axis.splits_tensors
    law = reported_law(violation.law, splits_batch=splits_batch)
    code, headline = HEADLINES[law]
    label, others = _blamed_rule(violation, axis)
    got, needed = describe_cause(violation.cause)
    notes = _others_note(modules)
    if splits_batch and law not in UNIT_LAWS:
        notes.append(f"got: {got}; each rank of '{axis.axis}' has its part of the batch")
    notes += _code_notes(violation)
    origin = violation.origin
    if origin is not None and origin.module and origin.module != modules[0]:
        notes.append(f"layout from: {origin.module}")
    if violation.law in ("gradient", "meet") and _lacks_rule(finding, binding):
        notes.append("rule: this module has none")
    if needed:
        notes.append(f"needed: {needed}")
    if violation.may_be_accepted and violation.accepted_by is None and law_by_code(code).acceptable:
        notes.append(f'or: accept {code} at {modules[0] or "root"} "WHY"')
    return diagnostic(
        code,
        label,
        headline,
        *notes,
        secondary=others,
        fix=suggest(finding),
        module=modules[0] or "root",
        operation=describe_point(violation.point),
        details=None if law == "batch" else violation.cause,
    )


def _region_diagnostic(finding: RegionFinding, suggest: Suggest) -> Diagnostic:
    violation, modules = finding.issue, finding.modules
    entry = violation.origin.rule if violation.origin is not None else None
    assert entry is not None
    code, headline = HEADLINES[violation.law]
    got, needed = describe_cause(violation.cause)
    notes = [*_others_note(modules), f"needed: {needed}"] if needed else _others_note(modules)
    return diagnostic(
        code,
        entry.location.label(got),
        headline,
        *notes,
        fix=suggest(finding),
        module=modules[0] or "root",
        operation=describe_point(violation.point),
        details=violation.cause,
    )


def _others_note(modules: tuple[str, ...]) -> list[str]:
    return [f"like it: {len(modules) - 1} more"] if len(modules) > 1 else []


def _got(violation: Violation) -> str:
    cause, expression = violation.cause, violation.expression
    return (describe_expression(cause, expression) if expression else None) or describe_cause(cause).got


def _code_notes(violation: Violation) -> Iterator[str]:
    """The line of the model's code, and what its numbers are there."""
    if violation.line:
        place, _, text = violation.line.partition(": ")
        yield f"code: {place}: {text}" if text else f"code: {place}"
    if isinstance(violation.cause, SizeRead) and violation.cause.parts:
        yield f"computed from: {describe_parts(violation.cause)}"


def _lacks_rule(finding: Finding, binding: Binding) -> bool:
    """Whether the module has parameters, and no rule says how they are sharded."""
    bound = binding.root.find_submodule(finding.modules[0])
    has_parameters = bound is not None and bool(bound.module.parameters)
    return finding.axis.splits_tensors and finding.issue.rule is None and has_parameters


def _blamed_rule(violation: Violation, axis: AxisProof) -> tuple[Label, tuple[Label, ...]]:
    """The rule that is to blame, and others: the module's own rule, or the one that gave the value its layout."""
    own, origin = violation.rule, violation.origin.rule if violation.origin is not None else None
    text = _got(violation) if axis.splits_tensors or violation.law in UNIT_LAWS else ""
    if own is not None and (origin is None or own is origin or _is_own_violation(own, violation)):
        others = (origin.location.label("this gave it its layout"),) if origin not in (None, own) else ()
        return own.location.label(text, *violation.rule_field), others
    if origin is not None:
        secondary = () if own is None else (own.location.label("the rule of the module"),)
        other = violation.other_operand_rule if violation.law == "meet" else None
        if other is not None:
            secondary = (other.location.label("the other operand is from here"), *secondary)
        return origin.location.label(text), secondary
    if violation.enclosing_rule is not None:
        return violation.enclosing_rule.location.label(text), ()
    return axis.block.location.label(text, "axis"), ()


def _is_own_violation(own: Located, violation: Violation) -> bool:
    """Whether a module's own rule is to blame: for its boundary, its parameters, or its attributes."""
    rule = own.value
    shards_parameters = rule.style is not None or bool(rule.params)
    sets_size = violation.law == "size-written" and bool(rule.attributes)
    return bool(violation.rule_field) or shards_parameters or sets_size
