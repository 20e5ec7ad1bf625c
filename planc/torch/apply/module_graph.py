"""The graph of a module before it is split: captured from it, or compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.graph import ModelGraph
from planc.ir.source import Source
from planc.torch.capture.from_reference import capture_target
from planc.torch.capture.trace import CaptureTarget
from planc.torch.compat import own_parameters
from planc.torch.models.example_call import example_call
from planc.torch.models.hugging_face import is_transformers_config
from planc.torch.models.kernels import use_traceable_kernels
from planc.torch.models.meta_copy import meta_copy
from planc.torch.models.model_facts import model_facts
from planc.torch.models.record_fields import settings_of

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
    on_meta: Any = meta_copy(model)
    source = Source("model", type(model).__name__)
    versions = {"torch": str(torch.__version__).partition("+")[0]}
    if is_transformers_config(settings_of(model, "config")):
        use_traceable_kernels(on_meta)
    call = example_call(on_meta, inputs)
    if call is None:
        raise MissingInputs
    args, kwargs = call
    target = CaptureTarget(
        source.text, on_meta, args, kwargs, model_facts(on_meta), versions, training=training
    )
    return capture_target(target, source)


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
