"""What the proof found, as diagnostics: the rule, the module, the operation, got and needed."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.fixes.edit_plan import PlanEditor
from planc.fixes.enclosing_boundary import share_gather
from planc.fixes.suggest import FixContext, suggest_fix
from planc.ir.diagnostic import Diagnostic, Label, diagnostic
from planc.ir.resolved import Located
from planc.proof.prove import AxisProof, Proof
from planc.proof.result import RedundantCollective, Violation, join_module_path

_LAW_MESSAGES = {
    "arrives": ("L701", "a value arrives in another layout than the plan says"),
    "partial": ("L702", "a pending sum is used before it is taken"),
    "cut-dim": ("L703", "a split dim is cut so that ranks hold no whole part"),
    "cut-along": ("L704", "an operation works along a dim that is split"),
    "sequence": ("L705", "attention sees a split sequence"),
    "gradient": ("L706", "a gradient would stay in parts"),
    "size-read": ("L707", "the model's code reads a size that is a rank's own"),
    "size-written": ("L708", "the model's code says a size that no rank has"),
    "batch": ("L709", "an operation mixes entries of the batch"),
    "leaves": ("L710", "a value leaves the model that is not whole"),
    "meet": ("L711", "layouts that do not fit meet in an operation"),
    "loss-needs": ("L712", "the loss does not get what it needs"),
    "no-rule": ("L713", "not proved"),
}
"""The law that a fault breaks, and how it is said."""
_REDUNDANT_MESSAGES = {
    "repeated": ("L721", "one value is brought together several times"),
    "undone": ("L722", "a value is brought together and cut again at once"),
    "logits": ("L723", "logits are brought together that the loss could take as they are"),
}


def proof_diagnostics(proof: Proof, binding: Binding) -> Iterator[Diagnostic]:
    """Everything that speaks against the plan, each fault once, however many modules have it."""
    for axis in proof.axes:
        found: dict[tuple[str, int, str], tuple[Violation, list[str]]] = {}
        for path, outcome in axis.analysis.walk():
            for fault in outcome.violations:
                place = _blamed_rule(fault, axis)[0]
                key = (fault.law, place.span.start, fault.operation)
                found.setdefault(key, (fault, []))[1].append(join_module_path(path, fault.module))
        for fault, paths in found.values():
            yield _violation_diagnostic(fault, list(dict.fromkeys(paths)), axis, binding)
        if axis.kind == "tensor":
            yield from _redundant_diagnostics(axis, PlanEditor(binding, axis.block.value))


def _redundant_diagnostics(axis: AxisProof, lines: PlanEditor) -> Iterator[Diagnostic]:
    found: dict[tuple[str, int, str], tuple[RedundantCollective, list[str]]] = {}
    for path, outcome in axis.analysis.walk_findings():
        for waste in outcome.redundant_collectives:
            key = (waste.law, id(waste.rule), waste.got)
            found.setdefault(key, (waste, []))[1].append(join_module_path(path, waste.module))
    for waste, paths in found.values():
        code, message = _REDUNDANT_MESSAGES[waste.law]
        label = (
            axis.block.location.label(waste.got)
            if waste.rule is None
            else waste.rule.location.label(waste.got)
        )
        others = tuple(other.location.label("and here") for other in waste.others)
        notes = [f"like it: {len(paths) - 1} more"] if len(paths) > 1 else []
        notes.append(f"needed: {waste.needed}")
        fix = share_gather(waste, paths[0], lines) if waste.law == "repeated" else None
        yield diagnostic(code, label, message, *notes, secondary=others, fix=fix, module=paths[0] or "root")


def _violation_diagnostic(
    fault: Violation, paths: list[str], axis: AxisProof, binding: Binding
) -> Diagnostic:
    data = axis.kind == "data"
    code, message = _LAW_MESSAGES["batch" if data and fault.law != "no-rule" else fault.law]
    label, others = _blamed_rule(fault, axis)
    notes = [f"like it: {len(paths) - 1} more"] if len(paths) > 1 else []
    if data:
        notes.append(f"got: {fault.got}, where each rank of '{axis.axis}' has its part of the batch")
    origin = fault.origin
    if origin is not None and origin.module and origin.module != paths[0]:
        notes.append(f"layout from: {origin.module}")
    if fault.law in ("gradient", "meet") and _lacks_rule(fault, paths[0], axis, binding):
        notes.append("rule: this module has none")
    if fault.needed:
        notes.append(f"needed: {fault.needed}")
    fix = (
        None
        if data
        else suggest_fix(FixContext(fault, paths, PlanEditor(binding, axis.block.value), axis.axis))
    )
    return diagnostic(
        code,
        label,
        message,
        *notes,
        secondary=others,
        fix=fix,
        module=paths[0] or "root",
        operation=fault.operation,
    )


def _lacks_rule(fault: Violation, path: str, axis: AxisProof, binding: Binding) -> bool:
    """Whether a module has parameters, and no rule says how they lie."""
    bound = binding.root.find_submodule(path)
    return (
        axis.kind == "tensor" and fault.rule is None and bound is not None and bool(bound.module.parameters)
    )


def _blamed_rule(fault: Violation, axis: AxisProof) -> tuple[Label, tuple[Label, ...]]:
    """The rule that is to blame: the module's own, or the one that gave the value its layout."""
    own, origin = fault.rule, fault.origin.rule if fault.origin is not None else None
    text = "" if axis.kind == "data" else fault.got
    if own is not None and (origin is None or own is origin or _is_own_violation(own, fault)):
        others = (origin.location.label("this gave it its layout"),) if origin not in (None, own) else ()
        return _rule_label(own, fault.rule_field, text), others
    if origin is not None:
        around = () if own is None else (own.location.label("the rule of the module"),)
        other = fault.other_operand_rule if fault.law == "meet" else None
        return origin.location.label(text), (
            around if other is None else (other.location.label("the other operand is from here"), *around)
        )
    if fault.enclosing_rule is not None:
        return fault.enclosing_rule.location.label(text), ()
    return axis.block.location.label(text, "axis"), ()


def _is_own_violation(own: Located, fault: Violation) -> bool:
    """Whether a fault is one of a module's own rule: at its boundary, or with its parameters."""
    rule = own.value
    said = rule.style is not None or rule.params
    return (
        fault.rule_field is not None or bool(said) or (fault.law == "size-written" and bool(rule.attributes))
    )


def _rule_label(rule: Located, field: str | None, text: str) -> Label:
    steps = tuple(int(step) if step.isdigit() else step for step in field.split("/")) if field else ()
    return rule.location.label(text, *steps)
