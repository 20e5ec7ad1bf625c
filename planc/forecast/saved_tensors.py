"""Which operations keep a tensor for their backward pass, as torch's formulas of derivatives say."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from planc.ir.graph import Op, Value, WeightRef


class SavedTensors(Enum):
    """What an operation keeps whose result has a gradient."""

    NONE = 0
    SOME = 1
    UNKNOWN = 2


_NOTHING = frozenset((
    "T", "add", "add_", "aliased", "cat", "chunk", "clone", "contiguous", "copy_", "expand", "expand_as",
    "flatten", "flip", "float", "mean", "movedim", "narrow", "neg", "opaque", "permute", "real", "reshape",
    "select", "split", "squeeze", "stack", "sub", "sub_", "sum", "t", "to", "transpose", "type_as",
    "unbind", "unflatten", "unsqueeze", "view", "view_as",
))  # fmt: skip
_TENSORS = frozenset((
    "addmm", "amax", "baddbmm", "batch_norm", "bmm", "conv1d", "conv2d", "embedding", "exp", "gather",
    "gelu", "layer_norm", "linear", "log_softmax", "masked_fill", "matmul", "mm", "pow", "relu",
    "rms_norm", "rsqrt", "scaled_dot_product_attention", "sigmoid", "silu", "softmax", "sqrt", "tanh",
    "topk", "where",
))  # fmt: skip
_PRODUCTS = frozenset(("div", "div_", "mul", "mul_"))
"""They keep tensors that they multiply by; numbers are no tensors."""


def saved_tensors(step: Op) -> SavedTensors:
    """What an operation keeps whose result has a gradient."""
    if step.name in _PRODUCTS:
        both = len(list(_tensors((step.arguments, *step.keywords.values())))) > 1
        return SavedTensors.SOME if both else SavedTensors.NONE
    if step.name == "__getitem__":
        return SavedTensors.SOME if any(_tensors(step.arguments[1:])) else SavedTensors.NONE
    if step.name == "dropout":
        # Captured or not, it is left out of an evaluation: only zero is sure.
        rate = step.arguments[1] if len(step.arguments) > 1 else step.keywords.get("p", 0.5)
        return SavedTensors.NONE if getattr(rate, "captured", rate) == 0 else SavedTensors.UNKNOWN
    if step.name in _NOTHING:
        return SavedTensors.NONE
    return SavedTensors.SOME if step.name in _TENSORS else SavedTensors.UNKNOWN


def _tensors(item: Any) -> Iterator[Value | WeightRef]:
    if isinstance(item, Value | WeightRef):
        yield item
    elif isinstance(item, tuple):
        for part in item:
            yield from _tensors(part)
