"""The model that is verified, with weights that do not hide errors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.torch.models import factory, hugging_face
from planc.torch.models.example_inputs import override_inputs, parse_input_options
from planc.torch.models.model_reference import parse_reference
from planc.torch.verify.fill_inputs import fill_inputs
from planc.torch.verify.no_dropout import disable_dropout

_VECTOR_NOISE = 0.3
"""The standard deviation of what is added to vectors, which are initialized to ones or zeros."""
_MATRIX_GAIN = 1.2
"""The standard deviation of a matrix, times the square root of its inputs: activations neither vanish nor
explode."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_EMBEDDING_SCALE = 0.7
"""The standard deviation of an embedding table."""


class ModelUnderTest:
    """A model in memory, and its inputs."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], config: Any) -> None:
        """
        Args:
            model: unsplit, on the CPU.
            args, kwargs: what to call it with.
            config: the configuration of a model of transformers, or None.
        """
        self.model, self.args, self.kwargs, self.config = model, args, kwargs, config


def build_model_under_test(
    reference: str, seed: int, *, inputs: Sequence[str] = (), dropout: bool = False
) -> ModelUnderTest:
    """Build a model on the CPU, with random weights.

    Args:
        reference: `hf:CLASS?NAME=VALUE&...`, `hf:config.json`, `package.module:factory`, `file.py:factory`.
        seed: of the weights, and of the inputs that are set.
        inputs: inputs that the user has set, as `--input` takes them: then the model is called with what it was
            captured with, in shapes of its own.
        dropout: whether dropout stays on, as in training.

    Raises:
        planc.graph.capture_error.CaptureError: the model cannot be built.
    """
    source = Source("MODEL", reference)
    parsed = parse_reference(source)
    torch.manual_seed(seed)
    args: tuple[Any, ...] = ()
    config = None
    if parsed.kind == "graph":
        raise_capture_error("G803", word_label(source), f"{reference!r} is a graph, which has no code to run",
               "needed: hf:CLASS, hf:path/to/config.json, package.module:factory or file.py:factory")  # fmt: skip
    if parsed.kind == "factory":
        model, args, kwargs = factory.build_from_factory(parsed, source, device="cpu")
    else:
        kind, config = hugging_face.class_and_config(parsed, source)
        model, kwargs = hugging_face.build_on_device(kind, config, "cpu", source)
    if not dropout:
        disable_dropout(model)
        if config is not None:
            _disable_config_dropout(config)
    randomize_parameters(model, seed)
    if not inputs:
        return ModelUnderTest(model.train(), args, kwargs, config)
    args, kwargs = override_inputs(model, args, kwargs, parse_input_options(inputs))
    args, kwargs = fill_inputs(args, kwargs, config, seed)
    return ModelUnderTest(model.train(), args, kwargs, None)


def _disable_config_dropout(config: Any) -> None:
    for name, value in list(vars(config).items()):
        if type(value) is float and "drop" in name:
            setattr(config, name, 0.0)


def randomize_parameters(model: nn.Module, seed: int) -> None:
    """Set random weights that keep every gradient large: a norm of ones and a bias of zeros would hide that
    they are used wrongly."""
    generator = torch.Generator().manual_seed(seed + 1)
    modules = list(model.modules())
    embeddings = {id(module.weight) for module in modules if isinstance(module, nn.Embedding)}
    kernels = {id(module.weight) for module in modules if isinstance(module, _CONVOLUTIONS)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for param in model.parameters():
            if not param.is_floating_point():
                continue
            noise = torch.randn(param.shape, generator=generator, dtype=torch.float64)
            if param.ndim < 2:
                param.add_((noise * _VECTOR_NOISE).to(param.dtype))
            elif id(param) in embeddings:
                param.copy_(noise * _EMBEDDING_SCALE)
            else:
                fan_in = _fan_in(param, is_kernel=id(param) in kernels)
                param.copy_(noise * (_MATRIX_GAIN / max(fan_in, 1.0) ** 0.5))


def _fan_in(param: nn.Parameter, *, is_kernel: bool) -> float:
    """How many entries a product with a parameter adds up. One of three dims that is no kernel is a stack of matrices,
    as experts have them, one way round or the other."""
    if param.ndim > 2 and not is_kernel:
        return max(param.shape[-2:])
    return param.numel() / max(param.shape[0], 1)
