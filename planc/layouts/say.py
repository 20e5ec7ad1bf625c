"""What the proof found, as diagnostics: the rule, the module, the operation, got and needed."""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Label
from planc.ir.settled import Placed
from planc.layouts.outcome import Fault
from planc.layouts.prove import AxisProof, Proof

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


def diagnostics(proof: Proof) -> Iterator[Diagnostic]:
    """Everything that speaks against the plan, each fault once, however many modules have it."""
    for axis in proof.axes:
        found: dict[tuple[str, int, str, str], tuple[Fault, list[str]]] = {}
        for path, outcome in axis.outcome.walk():
            for fault in outcome.faults:
                place = _place(fault, axis)[0]
                key = (
                    fault.law,
                    place.span.start,
                    fault.operation.rpartition(" of ")[0] or fault.operation,
                    fault.got,
                )
                found.setdefault(key, (fault, []))[1].append(path)
        for fault, paths in found.values():
            yield _diagnostic(fault, list(dict.fromkeys(paths)), axis)


def _diagnostic(fault: Fault, paths: list[str], axis: AxisProof) -> Diagnostic:
    data = axis.kind == "data"
    code, message = _SAID["batch" if data and fault.law != "no-rule" else fault.law]
    label, others = _place(fault, axis)
    more = f" (and {len(paths) - 1} like it)" if len(paths) > 1 else ""
    notes = [f"at: {paths[0] or 'the model'}{more}", f"operation: {fault.operation}"]
    if data:
        notes.append(f"got: {fault.got}, where each rank of '{axis.axis}' has its part of the batch")
    origin = fault.origin
    if origin is not None and origin.module and origin.module != paths[0]:
        notes.append(f"layout from: {origin.module}")
    if fault.needed:
        notes.append(f"needed: {fault.needed}")
    return Diagnostic(law(code), message, label, others, tuple(notes), None, paths[0], fault.operation)


def _place(fault: Fault, axis: AxisProof) -> tuple[Label, tuple[Label, ...]]:
    """The rule that is to blame: the module's own, or the one that gave the value its layout."""
    origin = fault.origin.rule if fault.origin is not None else None
    text = "" if axis.kind == "data" else fault.got
    if fault.rule is not None:
        others = (origin.place.label("this gave it its layout"),) if origin not in (None, fault.rule) else ()
        return _label(fault.rule, fault.field, text), others
    if origin is not None:
        return origin.place.label(text), ()
    if fault.around is not None:
        return fault.around.place.label(text), ()
    block = axis.block
    return block.place.label(text, "axis"), ()


def _label(rule: Placed, field: str | None, text: str) -> Label:
    steps = tuple(int(step) if step.isdigit() else step for step in field.split("/")) if field else ()
    return rule.place.label(text, *steps)
