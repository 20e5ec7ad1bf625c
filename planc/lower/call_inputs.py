"""The inputs that a model was captured with, and what it returned, as calls at run time are compared with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from planc.ir.graph import ModelGraph, TensorInfo
from planc.ir.lowered import LoweredInput, NumberKind, TensorPath
from planc.proof.interpreter.ignored_targets import forbidden_entries
from planc.proof.model_outputs import output_paths
from planc.proof.result import AxisProof, Proof
from planc.proof.types import PackedShard, Sharded


def call_inputs(graph: ModelGraph, proof: Proof, without_grad: Collection[int]) -> Mapping[str, LoweredInput]:
    """The inputs of a model, by name.

    Args:
        without_grad: the numbers of those for which the plan is right only if they need no gradient.
    """
    keeps_ones = any(
        each.merges_size_one
        for axis in proof.axes
        if axis.splits_tensors
        for each in axis.analysis.distinct_analyses()
    )
    forbidden = [forbidden_entries(axis.analysis) for axis in proof.axes if not axis.splits_tensors]
    return {
        name: LoweredInput(
            len(info.shape),
            number_kind(info),
            tuple(dim for dim, size in enumerate(info.shape) if size == 1) if keeps_ones else (),
            number not in without_grad,
            tuple(sorted({entry for each in forbidden for entry in each.get(number, ())})),
        )
        for number, (name, info) in enumerate(graph.inputs.items())
    }


def call_results(graph: ModelGraph, proof: Proof) -> tuple[TensorPath, ...] | None:
    """Where real tensors of one dim or more are in the model's result. None where every module that calls others
    returns full tensors: then hidden states that a caller asks for are full, too."""
    if not any(_returns_slices(axis) for axis in proof.axes if axis.splits_tensors):
        return None
    tensors = graph.main_function.tensors
    found = output_paths(graph.main_function).values()
    return tuple(path for path, number in found if tensors[number].shape and tensors[number].is_floating)


def _returns_slices(proof: AxisProof) -> bool:
    """Whether a module that calls others, below the model itself, returns a slice."""
    return any(
        name and each.calls and any(isinstance(value.type, Sharded | PackedShard) for value in each.results)
        for name, each in proof.analysis.walk()
    )


def number_kind(info: TensorInfo) -> NumberKind:
    """What a tensor holds."""
    if info.dtype.startswith("complex"):
        return "complex"
    return "real" if info.dtype.startswith(("float", "bfloat")) else "integer"
