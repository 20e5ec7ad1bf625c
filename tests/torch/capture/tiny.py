"""Graphs of tiny modules, for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from planc.graph.graph_writer import encode_function
from planc.ir.graph import ModelGraph
from planc.torch.capture.trace import CaptureTarget, trace


def graph_of(model: nn.Module, *arguments: Any, **keywords: Any) -> ModelGraph:
    """The graph of a module."""
    return trace(CaptureTarget("tiny", model, arguments, keywords, {}, {"torch": "2"}))


def steps_of(graph: ModelGraph, function: int = -1) -> list[Any]:
    """The steps of a function, as the file has them."""
    form = encode_function(graph.functions[function])
    return list(form["steps"])


class FunctionModule(nn.Module):
    """A module that does what a function says."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(*arguments, **keywords)


def steps(function: Any, *arguments: Any) -> list[Any]:
    """The steps of a function of tensors."""
    return steps_of(graph_of(FunctionModule(function), *(arguments or (x(),))))


def x(*shape: int) -> torch.Tensor:
    """A tensor."""
    return torch.empty(shape or (2, 6))
