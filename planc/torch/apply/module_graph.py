"""The graph of a module that is to be split, and whether a graph is that module's."""

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
from planc.torch.capture.from_reference import capture_target as capture_subject
from planc.torch.capture.trace import CaptureTarget
from planc.torch.compat import own_parameters

ExampleInputs = Sequence[Tensor] | Mapping[str, Tensor]


def capture_module(model: nn.Module, inputs: ExampleInputs | None) -> ModelGraph:
    """Capture a module without touching it: a copy of it, without weights, is run.

    Args:
        inputs: what it is called with; None: a model of transformers knows that itself.

    Raises:
        ModelFault: it cannot be captured.
        ValueError: it is no model of transformers, and no inputs are given.
    """
    bare: Any = _meta_copy(model)
    source = Source("model", type(model).__name__)
    versions = {"torch": str(torch.__version__).partition("+")[0]}
    facts: dict[str, int | bool] = {}
    config = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        from planc.torch.models import hugging_face

        bare.config = copy.deepcopy(config)
        hugging_face.use_traceable_kernels(bare.config)
        for module in bare.modules():
            if getattr(module, "config", None) is config:
                module.config = bare.config
        facts = hugging_face.config_facts(config)
        if inputs is None:
            inputs = hugging_face.example_inputs_for(bare, config)
    if inputs is None:
        raise ValueError("what the model is called with is not known: give inputs=..., or graph=...")
    mapped = isinstance(inputs, Mapping)
    keywords: dict[str, Any] = dict(inputs) if isinstance(inputs, Mapping) else {}
    if mapped and "use_cache" in inspect.signature(model.forward).parameters:
        keywords.setdefault("use_cache", False)
    arguments = () if isinstance(inputs, Mapping) else tuple(inputs)
    return capture_subject(CaptureTarget(source.text, bare, arguments, keywords, facts, versions), source)


def _meta_copy(model: nn.Module) -> nn.Module:
    """A copy of a module whose parameters and buffers lie on no device."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for module in model.modules():
        memo |= {id(held): held for held in vars(module).values() if isinstance(held, DeviceMesh)}
    return copy.deepcopy(model, memo)


def graph_mismatch(model: nn.Module, graph: ModelGraph) -> str | None:
    """Why a graph is not that of a module; None: it is."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, definition in graph.modules_by_name.items():
        if name not in modules:
            return f"the graph has a module '{name}', the model has none"
        if type(modules[name]).__name__ != definition.class_name:
            return (
                f"'{name}' is of class {type(modules[name]).__name__}, in the graph {definition.class_name}"
            )
        own = {n: tuple(p.shape) for n, p in own_parameters(modules[name]).items() if p is not None}
        seen = {n: info.shape for n, info in definition.parameters.items()}
        if own != seen:
            return f"the parameters of '{name or 'the model'}' are {own}, in the graph {seen}"
    surplus = [name for name in modules if name not in graph.modules_by_name]
    return f"the model has a module '{surplus[0]}', the graph has none" if surplus else None
