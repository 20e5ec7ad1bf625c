"""What breaks the laws of FSDP's units: a parameter that is read, or whose memory is used, while its unit is not gathered."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.ir.resolved import Located
from planc.proof.result import Origin, ProgramPoint, Violation
from planc.proof.units.backward import freed_in_backward
from planc.proof.units.confined import ConfinedCalls
from planc.proof.units.forward import ForwardPass, Misuse
from planc.proof.units.tape import Step
from planc.proof.units.unit_map import FsdpUnit, UnitMap
from planc.proof.violations import ArgumentChanged, Cause, FreedMemory, ParameterNotGathered, ResultChanged


def unit_violations(binding: Binding, block: int, kept: Located | None = None) -> Iterator[Violation]:
    """Every use of a parameter of an `fsdp` block's units while the unit is not gathered, once.

    Args:
        binding: the plan and the model.
        block: the number of the block.
        kept: a line whose units count as kept.
    """
    units = UnitMap(binding, block, kept)
    confined = ConfinedCalls(units, binding.graph)
    if confined.is_confined(binding.graph.main_function, binding.root):
        return
    forward = ForwardPass(binding, units, confined)
    outputs = forward.run()
    found: dict[object, Violation] = {}
    for misuse in forward.misuses:
        key = (misuse.unit, misuse.step, bool(misuse.parameter))
        found.setdefault(key, _violation(misuse.unit, misuse.step, _cause(misuse)))
    if not found:  # what a forward pass cannot compute has no gradient
        for unit, step in freed_in_backward(forward.tape, outputs):
            change = forward.tape.dropped.get(unit)
            if change is not None:
                found.setdefault((unit, change), _violation(unit, change, ResultChanged(unit.name)))
            else:
                found.setdefault((unit, step), _violation(unit, step, FreedMemory(unit.name, "backward")))
    yield from found.values()


def _cause(misuse: Misuse) -> Cause:
    if misuse.parameter:
        return ParameterNotGathered(misuse.parameter, misuse.unit.name)
    if misuse.changes_argument:
        return ArgumentChanged(misuse.unit.name)
    return FreedMemory(misuse.unit.name, "forward")


def _violation(unit: FsdpUnit, step: Step, cause: Cause) -> Violation:
    return Violation(
        cause,
        ProgramPoint("operation", step.operation),
        None,
        origin=Origin("", unit.entry),
        module=step.module,
    )
