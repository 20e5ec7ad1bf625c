"""The inputs that a model was captured with, as calls at run time are compared with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from planc.ir.graph import ModelGraph, TensorInfo
from planc.ir.lowered import LoweredInput, NumberKind


def call_inputs(graph: ModelGraph, without_grad: Collection[int]) -> Mapping[str, LoweredInput]:
    """The inputs of a model, by name.

    Args:
        without_grad: the numbers of those for which the plan is right only if they need no gradient.
    """
    return {
        name: LoweredInput(len(info.shape), number_kind(info), number not in without_grad)
        for number, (name, info) in enumerate(graph.inputs.items())
    }


def number_kind(info: TensorInfo) -> NumberKind:
    """What a tensor holds."""
    if info.dtype.startswith("complex"):
        return "complex"
    return "real" if info.dtype.startswith(("float", "bfloat")) else "integer"
