"""Sizes that code reads in ways that no tracked number shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from planc.ir.styles import style_attributes
from planc.ir.tree import leaves
from planc.torch.capture.trace_records import CallRecord, OpRecord, sym_numbers
from planc.torch.capture.tracked_sizes import value_of
from planc.torch.compat import SIZE_INDEPENDENT_PROPERTIES, STORAGE_PROPERTIES, DisableTorchFunction

_SIZE_INDEPENDENT = frozenset(
    ("__hash__", "dim", "ndimension", "ndim", "element_size", "itemsize", "get_device", "output_nr", *SIZE_INDEPENDENT_PROPERTIES,
     "data_ptr", "dense_dim", "sparse_dim", "item", "tolist", "__int__", "__float__", "__index__")
)  # fmt: skip
"""Functions and properties whose numbers say nothing about the size of a tensor."""
_SIZE_REVEALING = frozenset(
    ("untyped_storage", "storage", *STORAGE_PROPERTIES, "is_same_size", "__repr__", "__format__", "__reduce_ex__",
     "__dlpack__")
)  # fmt: skip
"""Functions and properties that reveal the size of a tensor without returning a number."""


def reveals_size(name: str, result: Any) -> bool:
    """Whether a call that returned this tells code how large its tensors are."""
    numbers = leaves(result, (int, float), into=(list, tuple), max_depth=3)
    counts = (not isinstance(number, bool) for number in numbers)
    return name in _SIZE_REVEALING or (name not in _SIZE_INDEPENDENT and any(counts))


def has_plain_value(result: Any) -> bool:
    """Whether a result holds a plain number, a boolean or a text: no tracking goes beyond those."""
    return bool(leaves(result, (int, float, str), into=(list, tuple), max_depth=3))


def untracked_numel(tensor: Tensor) -> int:
    """The number of elements of a tensor; nothing is recorded."""
    with DisableTorchFunction():
        return tensor.numel()


def tracked_strides(sizes: Sequence[Any], strides: Sequence[int]) -> tuple[Any, ...] | None:
    """The strides of a dense tensor, computed from its tracked sizes; None: they do not follow from the sizes, as
    those of a slice may not."""
    tracked: list[Any] = [1] * len(strides)
    step: Any = 1
    plain_step = 1
    for dim in sorted(range(len(strides)), key=lambda dim: (strides[dim], value_of(sizes[dim]))):
        if strides[dim] != plain_step:
            return None
        tracked[dim] = step
        step, plain_step = sizes[dim] * step, value_of(sizes[dim]) * plain_step
    return tuple(tracked)


# ---- attributes --------------------------------------------------------------------


def resolve_maybe_escaped(root: CallRecord) -> None:
    """Decide which attributes have escaped: those that a plan can set, since a recorded operation reads them too or
    a style divides them. All others are the same number on every rank."""
    names = style_attributes()
    for call in root.calls():
        for step in call.steps:
            if isinstance(step, CallRecord) or step.name != "number.maybe_escaped":
                names.update(_attributes((step.arguments, step.keywords)))
        names.update(_attributes(call.result))
    for call in root.calls():
        kept: list[OpRecord | CallRecord] = []
        for step in call.steps:
            if isinstance(step, OpRecord) and step.name == "number.maybe_escaped":
                if names.isdisjoint(_attributes(step.arguments)):
                    continue
                step.name = "number.lost"
            kept.append(step)
        call.steps[:] = kept


def _attributes(item: Any) -> Iterator[str]:
    """The names of the attributes that numbers are computed from, without their modules."""
    for number in sym_numbers(item):
        if number.op == "attribute":
            yield str(number.arguments[0]).partition(":")[2]
