"""What a model returns: its tensors by name, and the logits among them."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.graph import Function, TensorInfo
from planc.ir.tree import TreePath, dotted
from planc.proof.boundary.ports import tensor_paths


def output_paths(main: Function) -> dict[str, tuple[TreePath, int]]:
    """The tensors that a model returns, by the dotted name of their path: the path, and the number."""
    return {dotted(path): (path, number) for path, number in tensor_paths(main.result)}


def find_logits(main: Function) -> tuple[TreePath, TensorInfo] | None:
    """The path to the logits in the model's result, and the tensor; None: it is not clear which these are."""
    outputs = output_paths(main)
    infos = {name: main.tensors[number] for name, (_, number) in outputs.items()}
    for name, (path, _) in outputs.items():
        if is_logits(name, infos):
            return path, infos[name]
    return None


def is_logits(name: str, outputs: Mapping[str, TensorInfo]) -> bool:
    """Whether the loss is computed from an output: the one called logits, or the only one that a
    gradient flows to."""
    if "logits" in outputs:
        return name == "logits"
    return [other for other, info in outputs.items() if info.grad] == [name]
