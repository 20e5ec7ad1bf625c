"""Checks that are not made, and why: said in every report, never passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planc.checks.two_rules import MAX_SPELLED_NAMES, count_spelled_names
from planc.ir.diagnostic import SkippedCheck
from planc.ir.laws import law_by_code
from planc.ir.resolved import Resolved, Settings

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph
    from planc.proof.prove import Proof

MODEL_CHECKS = (
    "every pattern matches a module",
    "no module has two rules",
    "every style fits the class of its modules",
    "sizes divide, heads stay whole",
    "FSDP units take in every parameter",
    "layouts of values and gradients",
)
"""What only a model can show."""


BASE_PLAN_LAWS = ("N102", "N103", "N104", "N107", "M201", "M205", "R302", "R307")
"""Laws of names that the plan to extend may declare, those of axes among them."""


def lacks_base_plan(settled: Resolved) -> bool:
    """Whether a plan to extend could not be read."""
    return settled.documents[-1].plan.extends is not None


def skipped_checks(
    settled: Resolved, settings: Settings, proof: Proof | None, graph: ModelGraph | None
) -> tuple[SkippedCheck, ...]:
    """The checks of this plan that were not made."""
    skipped: list[SkippedCheck] = []
    if graph is None and settled.blocks:
        skipped += [SkippedCheck(check, "no model is given") for check in MODEL_CHECKS]
    elif graph is not None and proof is None:
        skipped.append(SkippedCheck(MODEL_CHECKS[-1], "the errors above come first"))
    tensor = [axis.axis for axis in proof.axes if axis.kind == "tensor"] if proof is not None else []
    if len(tensor) > 1:
        skipped.append(
            SkippedCheck(f"layouts on the axes {' and '.join(tensor)} together", "each is proved by itself")
        )
    for axis in proof.unsized_axes if proof is not None else ():
        skipped.append(SkippedCheck(f"layouts on axis '{axis}'", "it has no size"))
    if lacks_base_plan(settled):
        why = "the plan to extend cannot be read"
        skipped += [SkippedCheck(law_by_code(code).name.replace("-", " "), why) for code in BASE_PLAN_LAWS]
    for block in settled.blocks:
        for entry in block.entries:
            if entry.value.when is not None:
                skipped.append(SkippedCheck(f"when {entry.value.when}", "needs values that are not known"))
        if count_spelled_names(block) > MAX_SPELLED_NAMES:
            why = f"its patterns spell out more than {MAX_SPELLED_NAMES:,} names"
            skipped.append(SkippedCheck(f"two rules of block '{block.kind}' for one module", why))
        if block.kind == "tensor" and settings.gpus_per_node and None in (a.size for a in settled.axes):
            skipped.append(SkippedCheck("tensor parallelism across nodes", "needs the size of every axis"))
    skipped += [
        SkippedCheck(f"layout {name}", "its condition needs values that are not known")
        for name, layout in settled.layouts.items()
        if layout is None and not settled.diagnostics
    ]
    return tuple(dict.fromkeys(skipped))
