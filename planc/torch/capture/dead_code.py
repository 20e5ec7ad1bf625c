"""Dead code elimination: drops operations whose results nothing uses."""

from __future__ import annotations

from typing import Any

from planc.torch.capture.trace_records import CallRecord, OpRecord, tensor_numbers

_COUNTABLE = ("unbind", "split", "split_with_sizes", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit",
            "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk")  # fmt: skip
"""Operations whose results code may count: their number is a size."""

_OPAQUE = ("number.", "autograd.Function.", "jit.script.")
"""Uses of numbers, and code that no mode sees into: it may read a size and keep it."""


def eliminate_dead_code(root: CallRecord) -> None:
    """Drop steps whose results nothing uses and that change nothing. The steps are straight-line code, so one pass
    from the end finds them all."""
    _eliminate(root, set())


def _eliminate(call: CallRecord, live: set[int]) -> None:
    _mark_live(call.result, live)
    kept: list[OpRecord | CallRecord] = []
    for step in reversed(call.steps):
        if isinstance(step, CallRecord):
            live.update(inner for inner, outer in step.output_aliases.items() if outer in live)
            _eliminate(step, live)
        elif not _is_live(step, live):
            continue
        _mark_live((step.arguments, step.keywords), live)
        kept.append(step)
    call.steps[:] = reversed(kept)


def _is_live(step: OpRecord, live: set[int]) -> bool:
    if step.name == "aliased" and not step.effect:
        changed, *others = step.arguments
        kept = [(o, n) for o, n in zip(others, step.results, strict=True) if n in live]
        step.arguments = (changed, *(other for other, _ in kept))
        step.results[:] = [number for _, number in kept]
    if step.name.startswith(_OPAQUE) or step.name in _COUNTABLE:
        return True
    # A change in place that no later code sees: the second run of a recomputed region sees it.
    return step.effect or step.writes or any(number in live for number in step.results)


def _mark_live(item: Any, live: set[int]) -> None:
    live.update(tensor_numbers(item))
