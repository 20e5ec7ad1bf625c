"""What each operation of a captured model saves for the backward pass, in bytes."""

from __future__ import annotations

from planc.ir.graph import Function, Op, WeightRef
from planc.proof.saved_by_operation import WeightInfo, recorded_operation, saved_tensors


def saved_bytes(function: Function, step: Op, weight: WeightInfo) -> int | None:
    """The bytes of what one operation saves, parameters left out; None: that is not known."""
    saved = saved_tensors(function, step, weight)
    if saved is None:
        return None
    operands = recorded_operation(function, step, weight).operands()
    return sum(
        tensor.info.bytes
        for tensor in saved
        if not (isinstance(tensor.source, int) and isinstance(operands[tensor.source].origin, WeightRef))
    )
