"""What the proof found, as diagnostics: the rule, the module, the operation, got and needed."""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Label
from planc.ir.settled import Placed
from planc.layouts.around import once
from planc.layouts.hints import Spot, hint
from planc.layouts.lines import Lines
from planc.layouts.outcome import Fault, Waste, joined
from planc.layouts.prove import AxisProof, Proof
from planc.resolve.bind import Binding

_SAID = {
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
_WASTED = {
    "repeated": ("L721", "one value is brought together several times"),
    "undone": ("L722", "a value is brought together and cut again at once"),
    "logits": ("L723", "logits are brought together that the loss could take as they are"),
}


def diagnostics(proof: Proof, binding: Binding) -> Iterator[Diagnostic]:
    """Everything that speaks against the plan, each fault once, however many modules have it."""
    for axis in proof.axes:
        found: dict[tuple[str, int, str], tuple[Fault, list[str]]] = {}
        for path, outcome in axis.outcome.walk():
            for fault in outcome.faults:
                place = _place(fault, axis)[0]
                key = (fault.law, place.span.start, fault.operation)
                found.setdefault(key, (fault, []))[1].append(joined(path, fault.module))
        for fault, paths in found.values():
            yield _diagnostic(fault, list(dict.fromkeys(paths)), axis, binding)
        if axis.kind == "tensor":
            yield from _wastes(axis, Lines(binding, axis.block.value))


def _wastes(axis: AxisProof, lines: Lines) -> Iterator[Diagnostic]:
    found: dict[tuple[str, int, str], tuple[Waste, list[str]]] = {}
    for path, outcome in axis.outcome.walk_loud():
        for waste in outcome.wastes:
            key = (waste.law, id(waste.rule), waste.got)
            found.setdefault(key, (waste, []))[1].append(joined(path, waste.module))
    for waste, paths in found.values():
        code, message = _WASTED[waste.law]
        label = axis.block.place.label(waste.got) if waste.rule is None else waste.rule.place.label(waste.got)
        others = tuple(other.place.label("and here") for other in waste.others)
        notes = [f"like it: {len(paths) - 1} more"] if len(paths) > 1 else []
        notes.append(f"needed: {waste.needed}")
        fix = once(waste, paths[0], lines) if waste.law == "repeated" else None
        yield Diagnostic(law(code), message, label, others, tuple(notes), fix, paths[0] or "root")


def _diagnostic(fault: Fault, paths: list[str], axis: AxisProof, binding: Binding) -> Diagnostic:
    data = axis.kind == "data"
    code, message = _SAID["batch" if data and fault.law != "no-rule" else fault.law]
    label, others = _place(fault, axis)
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
    fix = None if data else hint(Spot(fault, paths, Lines(binding, axis.block.value), axis.axis))
    return Diagnostic(
        law(code), message, label, others, tuple(notes), fix, paths[0] or "root", fault.operation
    )


def _lacks_rule(fault: Fault, path: str, axis: AxisProof, binding: Binding) -> bool:
    """Whether a module has parameters, and no rule says how they lie."""
    bound = binding.root.below(path)
    return (
        axis.kind == "tensor" and fault.rule is None and bound is not None and bool(bound.module.parameters)
    )


def _place(fault: Fault, axis: AxisProof) -> tuple[Label, tuple[Label, ...]]:
    """The rule that is to blame: the module's own, or the one that gave the value its layout."""
    own, origin = fault.rule, fault.origin.rule if fault.origin is not None else None
    text = "" if axis.kind == "data" else fault.got
    if own is not None and (origin is None or own is origin or _decides(own, fault)):
        others = (origin.place.label("this gave it its layout"),) if origin not in (None, own) else ()
        return _label(own, fault.field, text), others
    if origin is not None:
        around = () if own is None else (own.place.label("the rule of the module"),)
        other = fault.beside if fault.law == "meet" else None
        return origin.place.label(text), (
            around if other is None else (other.place.label("the other operand is from here"), *around)
        )
    if fault.around is not None:
        return fault.around.place.label(text), ()
    return axis.block.place.label(text, "axis"), ()


def _decides(own: Placed, fault: Fault) -> bool:
    """Whether a fault is one of a module's own rule: at its boundary, or with its parameters."""
    rule = own.value
    said = rule.style is not None or rule.params
    return fault.field is not None or bool(said) or (fault.law == "size-written" and bool(rule.attributes))


def _label(rule: Placed, field: str | None, text: str) -> Label:
    steps = tuple(int(step) if step.isdigit() else step for step in field.split("/")) if field else ()
    return rule.place.label(text, *steps)
