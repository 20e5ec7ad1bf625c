"""The backward pass over a tape: which units are gathered when a node runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planc.proof.units.tape import Step, Tape
from planc.proof.units.unit_map import FsdpUnit


def freed_in_backward(tape: Tape, outputs: Iterable[int]) -> Iterator[tuple[FsdpUnit, Step]]:
    """Steps whose gradient needs parameters that FSDP has freed, with their units.

    Args:
        tape: the forward pass.
        outputs: the nodes of the model's outputs, each of which gets a gradient.
    """
    live, gathered = set(outputs), set(tape.gathered)
    reduced: set[FsdpUnit] = set()
    for number in range(len(tape.nodes) - 1, -1, -1):
        if number not in live:
            continue
        node = tape.nodes[number]
        hooked = tape.hooks.get(number, ())
        gathered.update(hooked)
        reduced.difference_update(hooked)
        for unit in node.saved:
            if unit not in gathered:
                yield unit, node.step
        for unit in node.accumulates:
            # FSDP has reduced the unit's gradients: this one would come too late.
            if unit in reduced and unit not in node.saved:
                yield unit, node.step
        if node.reduces is not None:
            gathered.discard(node.reduces)
            reduced.add(node.reduces)
        live.update(node.operands)
