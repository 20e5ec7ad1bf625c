"""What is taken out of sight, though no operation of Python says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from planc.ir.styles import style_attributes
from planc.ir.tree import leaves
from planc.torch.capture.trace_records import ModuleCall, RecordedOp, sym_numbers
from planc.torch.capture.tracked_sizes import value_of
from planc.torch.compat import SIZE_INDEPENDENT_PROPERTIES, STORAGE_PROPERTIES, DisableTorchFunction

_OF_EVERY_SIZE = frozenset(
    ("__hash__", "dim", "ndimension", "ndim", "element_size", "itemsize", "get_device", "output_nr", *SIZE_INDEPENDENT_PROPERTIES,
     "data_ptr", "dense_dim", "sparse_dim", "item", "tolist", "__int__", "__float__", "__index__")
)  # fmt: skip
"""What gives numbers that say nothing of a tensor's size."""
_OF_ITS_SIZE = frozenset(
    ("untyped_storage", "storage", *STORAGE_PROPERTIES, "is_same_size", "__repr__", "__format__", "__reduce_ex__",
     "__dlpack__")
)  # fmt: skip
"""What says something of a tensor's size, and gives no number."""


def reveals_size(name: str, result: Any) -> bool:
    """Whether a call that gave this says how large the tensors are that it took."""
    numbers = leaves(result, (int, float), into=(list, tuple), max_depth=3)
    counts = (not isinstance(number, bool) for number in numbers)
    return name in _OF_ITS_SIZE or (name not in _OF_EVERY_SIZE and any(counts))


def has_plain_value(result: Any) -> bool:
    """Whether there is a number, a truth or a text in a result: from there on, none can follow it."""
    return bool(leaves(result, (int, float, str), into=(list, tuple), max_depth=3))


def untracked_numel(tensor: Tensor) -> int:
    """How many numbers a tensor has; nobody is told."""
    with DisableTorchFunction():
        return tensor.numel()


def tracked_strides(sizes: Sequence[Any], found: Sequence[int]) -> tuple[Any, ...] | None:
    """The strides of a tensor, computed from its sizes; None: it has others, as a slice may."""
    made: list[Any] = [1] * len(found)
    step: Any = 1
    plain_step = 1
    for dim in sorted(range(len(found)), key=lambda dim: (found[dim], value_of(sizes[dim]))):
        if found[dim] != plain_step:
            return None
        made[dim] = step
        step, plain_step = sizes[dim] * step, value_of(sizes[dim]) * plain_step
    return tuple(made)


# ---- attributes --------------------------------------------------------------------


def resolve_maybe_escaped(root: ModuleCall) -> None:
    """Say that an attribute was taken where a plan can set it: where other code reads it in
    sight, or a style divides it; any other one is the same number on every rank."""
    names = style_attributes()
    for frame in root.calls():
        for step in frame.steps:
            if isinstance(step, ModuleCall) or step.name != "number.taken":
                names.update(_attributes((step.arguments, step.keywords)))
        names.update(_attributes(frame.result))
    for frame in root.calls():
        kept: list[RecordedOp | ModuleCall] = []
        for step in frame.steps:
            if isinstance(step, RecordedOp) and step.name == "number.taken":
                if names.isdisjoint(_attributes(step.arguments)):
                    continue
                step.name = "number.lost"
            kept.append(step)
        frame.steps[:] = kept


def _attributes(item: Any) -> Iterator[str]:
    """The names of the attributes that numbers come from, without their modules."""
    for number in sym_numbers(item):
        if number.op == "attribute":
            yield str(number.arguments[0]).partition(":")[2]
