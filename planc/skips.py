"""Checks that are not made, and why: said in every report, never passed over."""

from __future__ import annotations

from planc.checks.two_rules import MAX_SPELLED, spelled
from planc.ir.diagnostic import Skipped
from planc.ir.settled import Settled

NEED_MODEL = (
    "every pattern matches a module",
    "no module has two rules",
    "every style fits the class of its modules",
    "sizes divide, heads stay whole",
    "FSDP units take in every parameter",
    "layouts of values and gradients",
)
"""What only a model can show."""


def skipped_without_model(settled: Settled) -> tuple[Skipped, ...]:
    """The checks of this plan that need a model."""
    why = "no model is given"
    skipped = [Skipped(check, why) for check in NEED_MODEL] if settled.blocks else []
    for block in settled.blocks:
        for entry in block.entries:
            if entry.value.when is not None:
                skipped.append(Skipped(f"when {entry.value.when}", "needs values that are not known"))
        if spelled(block) > MAX_SPELLED:
            why = f"its patterns spell out more than {MAX_SPELLED:,} names"
            skipped.append(Skipped(f"two rules of block '{block.kind}' for one module", why))
    skipped += [
        Skipped(f"layout {name}", "its condition needs values that are not known")
        for name, layout in settled.layouts.items()
        if layout is None and not settled.faults
    ]
    return tuple(dict.fromkeys(skipped))
