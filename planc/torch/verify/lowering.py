"""The instructions of a plan for verification: also those of a plan that planc does not prove."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.check_result import Result
from planc.ir.layout import Shard
from planc.ir.lowered import Lowered, LoweredFsdp
from planc.ir.record import Record
from planc.lower.lower_plan import lower_unproved
from planc.lower.lowering_error import LoweringError

AMBIGUOUS_LAWS = frozenset({"two-rules", "rules-meet", "other-model", "uneven-cut"})
"""Laws whose violation makes it ambiguous what to apply: which of two rules, which rank gets the remainder."""
_PRECISION_SETTINGS = frozenset({"params", "reduce", "output", "cast_inputs", "offload"})
"""Settings of FSDP that change dtype or device: verification compares in one precision, on the CPU."""


class VerifyPlan(Record):
    """A plan as it is applied for verification."""

    result: Result
    """Of `planc check`."""
    lowered: Lowered | None
    """None: the plan cannot be applied."""
    sharded_outputs: tuple[str, ...] = ()
    """Outputs of the model that a rule of the root leaves sharded: names or positions."""
    reasons: tuple[str, ...] = ()
    """Why the plan cannot be applied."""


def lower_for_verify(result: Result) -> VerifyPlan:
    """Lower a plan as `parallelize` does. A plan that planc refutes or cannot prove is lowered as it is written,
    so that the numbers are those of a user who was not warned.

    Args:
        result: of a check against the graph of the model, on a mesh with a size for each axis.
    """
    errors = [diagnostic for diagnostic in result.diagnostics if diagnostic.is_error]
    ambiguous = [
        error.headline
        for error in errors
        if error.law.code[0] in "SNRXEM" or error.law.name in AMBIGUOUS_LAWS
    ]
    if result.binding is None or ambiguous:
        return VerifyPlan(result, None, (), tuple(ambiguous or [error.headline for error in errors]))
    without_size = [axis.name for axis in result.resolved.axes if axis.size is None]
    if without_size:
        return VerifyPlan(result, None, (), tuple(f"the axis '{name}' has no size" for name in without_size))
    try:
        lowered = _without_precision(lower_unproved(result.binding, result.proof))
    except LoweringError as error:
        return VerifyPlan(result, None, (), (str(error),))
    except Exception as error:
        if result.verdict == "proved":
            raise
        # Lowering may rely on what a proof guarantees, and this plan has none.
        why = f"it cannot be applied as it is written ({type(error).__name__}: {error})"
        return VerifyPlan(result, None, (), (why,))
    return VerifyPlan(result, lowered, tuple(_sharded_outputs(result.binding)))


def _sharded_outputs(binding: Binding) -> Iterator[str]:
    for number, _ in binding.resolved.tensor_blocks():
        entry = binding.entry_for(binding.root, number)
        for port in entry.value.outputs if entry is not None else ():
            if isinstance(port.after, Shard):
                yield str(port.key)


def _without_precision(lowered: Lowered) -> Lowered:
    """Without what changes precision, device or speed alone."""
    fsdp = lowered.fsdp
    if fsdp is not None:
        settings = {name: value for name, value in fsdp.settings.items() if name not in _PRECISION_SETTINGS}
        fsdp = LoweredFsdp(fsdp.axis, fsdp.replicate, settings, fsdp.units)
    return Lowered(lowered.tensor, lowered.recompute, (), fsdp)
