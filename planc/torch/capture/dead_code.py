"""Drops what a run computed and nobody used."""

from __future__ import annotations

from typing import Any

from planc.torch.capture.trace_records import ModuleCall, RecordedOp, tensor_numbers

_COUNTED = ("unbind", "split", "split_with_sizes", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit",
            "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk")  # fmt: skip
"""Code may count what these give: how many there are is a size."""


_SEEING = ("number.", "autograd.Function.", "jit.script.")
"""Uses of numbers, and code that nobody looks into: it may read a size and leave it somewhere."""


def eliminate_dead_code(root: ModuleCall) -> None:
    """Drop steps whose results nobody uses and that change nothing. One pass from the end
    finds them all, as a run is a line."""
    _prune(root, set())


def _prune(frame: ModuleCall, live: set[int]) -> None:
    _use(frame.result, live)
    kept: list[RecordedOp | ModuleCall] = []
    for step in reversed(frame.steps):
        if isinstance(step, ModuleCall):
            live.update(inner for inner, outer in step.output_aliases.items() if outer in live)
            _prune(step, live)
        elif not _is_needed(step, live):
            continue
        _use((step.arguments, step.keywords), live)
        kept.append(step)
    frame.steps[:] = reversed(kept)


def _is_needed(step: RecordedOp, live: set[int]) -> bool:
    if step.name == "aliased" and not step.effect:
        changed, *others = step.arguments
        kept = [(o, n) for o, n in zip(others, step.results, strict=True) if n in live]
        step.arguments = (changed, *(other for other, _ in kept))
        step.results[:] = [number for _, number in kept]
    if step.name.startswith(_SEEING) or step.name in _COUNTED:
        return True
    return step.effect or any(number in live for number in step.results)


def _use(item: Any, live: set[int]) -> None:
    live.update(tensor_numbers(item))
