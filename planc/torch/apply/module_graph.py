"""The graph of a module before it is split: captured from it, or compared with it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.graph import ModelGraph
from planc.ir.source import Source
from planc.torch.capture.from_reference import capture_target
from planc.torch.capture.trace import CaptureTarget
from planc.torch.compat import own_parameters

ExampleInputs = Sequence[Tensor] | Mapping[str, Tensor]


class MissingInputs(ValueError):
    """planc cannot make example inputs for a module that is not a transformers model."""

    def __init__(self, inputs: str = "inputs", graph: str = "graph") -> None:
        """
        Args:
            inputs, graph: the names of the arguments that the user can give.
        """
        super().__init__(
            f"planc needs example inputs to capture this model: give {inputs}=..., or {graph}=..."
        )


def capture_module(model: nn.Module, inputs: ExampleInputs | None, *, training: bool = True) -> ModelGraph:
    """Capture a module. planc runs a copy of it on the meta device; the module itself stays as it is.

    Args:
        inputs: example arguments, as a sequence or by keyword; None: planc makes those of a transformers model.
        training: whether it is captured in training, or in eval mode.

    Raises:
        ModelFault: the module cannot be captured.
        MissingInputs: `inputs` is None, and the module is not a transformers model.
    """
    on_meta: Any = _meta_copy(model)
    source = Source("model", type(model).__name__)
    versions = {"torch": str(torch.__version__).partition("+")[0]}
    facts: dict[str, int | bool] = {}
    config = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        from planc.torch.models import hugging_face, kernels

        kernels.use_traceable_kernels(on_meta)
        facts = hugging_face.config_facts(config)
        if inputs is None:
            inputs = hugging_face.example_keywords(on_meta, config, lambda: _meta_copy(on_meta))
    if inputs is None:
        raise MissingInputs
    kwargs: dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {}
    if isinstance(inputs, Mapping) and "use_cache" in inspect.signature(model.forward).parameters:
        kwargs.setdefault("use_cache", False)
    args = () if isinstance(inputs, Mapping) else tuple(inputs)
    target = CaptureTarget(source.text, on_meta, args, kwargs, facts, versions, training)
    return capture_target(target, source)


def _meta_copy(model: nn.Module) -> nn.Module:
    """A copy of a module with parameters and buffers on the meta device."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for module in model.modules():
        memo |= {id(value): value for value in vars(module).values() if isinstance(value, DeviceMesh)}
    return copy.deepcopy(model, memo)


def graph_mismatch(model: nn.Module, graph: ModelGraph) -> str | None:
    """How a graph differs from a module, in its first difference; None: it is the graph of that module."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, definition in graph.modules_by_name.items():
        if name not in modules:
            return f"the graph has a module '{name}', the model has none"
        if type(modules[name]).__name__ != definition.class_name:
            return (
                f"'{name}' is of class {type(modules[name]).__name__}, in the graph {definition.class_name}"
            )
        in_model = {n: tuple(p.shape) for n, p in own_parameters(modules[name]).items() if p is not None}
        in_graph = {n: info.shape for n, info in definition.parameters.items()}
        if in_model != in_graph:
            return f"the parameters of '{name or 'the model'}' are {in_model}, in the graph {in_graph}"
    surplus = [name for name in modules if name not in graph.modules_by_name]
    return f"the model has a module '{surplus[0]}', the graph has none" if surplus else None
