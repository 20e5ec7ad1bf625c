"""What a plan tells a model, whatever planc's own verdict on it is."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.check_result import Result
from planc.compile import check_document
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.layout import Shard
from planc.ir.lowered import Lowered, LoweredFsdp
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.lower.lower_plan import lower_unproved
from planc.lower.tensor_axis import LoweringError

AMBIGUOUS_LAWS = frozenset({"two-rules", "rules-meet", "other-model", "uneven-cut"})
"""Laws whose breach leaves it open what is to be applied: which of two rules, which rank gets the rest."""
_PRECISION_SETTINGS = frozenset({"params", "reduce", "output", "cast_inputs", "offload"})
"""Settings of FSDP that change precision or place: numbers are compared in one precision, on the CPU."""


class VerifyPlan(Record):
    """A plan as it is applied."""

    result: Result
    lowered: Lowered | None
    sharded_outputs: tuple[str, ...] = ()
    """Results that leave the model split, as a rule of the model itself says: names or positions."""
    reasons: tuple[str, ...] = ()
    """Why it cannot be applied."""


def lower_for_verify(document: Document, settings: Settings, graph: ModelGraph) -> VerifyPlan:
    """What `parallelize` would apply; of a plan that planc refuses, or cannot prove, what it says as it
    is written. Numbers that hang on a fault are those of a user who was not warned."""
    result = check_document(document, settings, graph)
    faults = [fault for fault in result.diagnostics if fault.is_error]
    unclear = [
        fault.headline
        for fault in faults
        if fault.law.code[0] in "SNRXEM" or fault.law.name in AMBIGUOUS_LAWS
    ]
    if result.binding is None or unclear:
        return VerifyPlan(result, None, (), tuple(unclear or [fault.headline for fault in faults]))
    open_ = [axis.name for axis in result.resolved.axes if axis.size is None]
    if open_:
        return VerifyPlan(result, None, (), tuple(f"the axis '{name}' has no size" for name in open_))
    try:
        return VerifyPlan(
            result,
            _without_precision(lower_unproved(result.binding, result.proof)),
            tuple(_sharded_outputs(result.binding)),
        )
    except LoweringError as bad:
        return VerifyPlan(result, None, (), (str(bad),))
    except Exception as raised:
        if result.verdict == "proved":
            raise
        # Nothing is promised of a plan that planc refuses: it may tell what nobody can do.
        why = f"it cannot be applied as it is written ({type(raised).__name__}: {raised})"
        return VerifyPlan(result, None, (), (why,))


def _sharded_outputs(binding: Binding) -> Iterator[str]:
    for number, _ in binding.resolved.tensor_blocks():
        entry = binding.entry_for(binding.root, number)
        for port in entry.value.outputs if entry is not None else ():
            if isinstance(port.after, Shard):
                yield str(port.key)


def _without_precision(lowered: Lowered) -> Lowered:
    """Without what changes precision or speed alone."""
    fsdp = lowered.fsdp
    if fsdp is not None:
        settings = {name: value for name, value in fsdp.settings.items() if name not in _PRECISION_SETTINGS}
        fsdp = LoweredFsdp(fsdp.axis, fsdp.replicate, settings, fsdp.units)
    return Lowered(lowered.tensor, lowered.recompute, (), fsdp)
