"""Checks that are not made, and why: said in every report, never passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planc.checks import law
from planc.checks.two_rules import MAX_SPELLED, spelled
from planc.ir.diagnostic import Skipped
from planc.ir.settled import Settings, Settled

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph
    from planc.layouts.prove import Proof

NEED_MODEL = (
    "every pattern matches a module",
    "no module has two rules",
    "every style fits the class of its modules",
    "sizes divide, heads stay whole",
    "FSDP units take in every parameter",
    "layouts of values and gradients",
)
"""What only a model can show."""


NEED_BASE = ("N102", "N103", "N104", "N107", "M201", "M205", "R302", "R307")
"""Laws of names that the plan to extend may declare, those of axes among them."""


def has_lost_base(settled: Settled) -> bool:
    """Whether a plan to extend could not be read."""
    return settled.documents[-1].plan.extends is not None


def skipped_checks(
    settled: Settled, settings: Settings, proof: Proof | None, graph: ModelGraph | None
) -> tuple[Skipped, ...]:
    """The checks of this plan that were not made."""
    skipped: list[Skipped] = []
    if graph is None and settled.blocks:
        skipped += [Skipped(check, "no model is given") for check in NEED_MODEL]
    elif graph is not None and proof is None:
        skipped.append(Skipped(NEED_MODEL[-1], "the errors above come first"))
    tensor = [axis.axis for axis in proof.axes if axis.kind == "tensor"] if proof is not None else []
    if len(tensor) > 1:
        skipped.append(
            Skipped(f"layouts on the axes {' and '.join(tensor)} together", "each is proved by itself")
        )
    for axis in proof.open if proof is not None else ():
        skipped.append(Skipped(f"layouts on axis '{axis}'", "it has no size"))
    if has_lost_base(settled):
        why = "the plan to extend cannot be read"
        skipped += [Skipped(law(code).name.replace("-", " "), why) for code in NEED_BASE]
    for block in settled.blocks:
        for entry in block.entries:
            if entry.value.when is not None:
                skipped.append(Skipped(f"when {entry.value.when}", "needs values that are not known"))
        if spelled(block) > MAX_SPELLED:
            why = f"its patterns spell out more than {MAX_SPELLED:,} names"
            skipped.append(Skipped(f"two rules of block '{block.kind}' for one module", why))
        if block.kind == "tensor" and settings.gpus_per_node and None in (a.size for a in settled.axes):
            skipped.append(Skipped("tensor parallelism across nodes", "needs the size of every axis"))
    skipped += [
        Skipped(f"layout {name}", "its condition needs values that are not known")
        for name, layout in settled.layouts.items()
        if layout is None and not settled.faults
    ]
    return tuple(dict.fromkeys(skipped))
