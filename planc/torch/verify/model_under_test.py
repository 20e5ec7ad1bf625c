"""The model that is judged, with numbers that hide nothing."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.source import Source
from planc.torch.models import factory, hugging_face
from planc.torch.models.model_reference import parse_reference
from planc.torch.verify.no_dropout import disable_dropout

_VECTOR_NOISE = 0.3
_MATRIX_GAIN = 1.2
_EMBEDDING_SCALE = 0.7


class ModelUnderTest:
    """A model in memory, and what it is called with."""

    def __init__(
        self, model: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], config: Any
    ) -> None:
        self.model, self.arguments, self.keywords, self.config = model, arguments, keywords, config
        """The configuration of a model of transformers, or None."""


def build_model_under_test(reference: str, seed: int, *, dropout: bool = False) -> ModelUnderTest:
    """A model on the CPU, with random weights.

    Args:
        reference: `hf:CLASS?NAME=VALUE&...`, `hf:config.json`, `package.module:factory`, `file.py:factory`.
        seed: what the numbers begin with.
        dropout: whether it drops what it drops in training.

    Raises:
        planc.graph.capture_error.CaptureFault: there is no such model.
    """
    source = Source("MODEL", reference)
    parsed = parse_reference(source)
    torch.manual_seed(seed)
    arguments: tuple[Any, ...] = ()
    config = None
    if parsed.kind == "graph":
        raise_capture_error("G803", word_label(source), f"{reference!r} is a graph, which has no code to run",
               "needed: hf:CLASS, hf:path/to/config.json, package.module:factory or file.py:factory")  # fmt: skip
    if parsed.kind == "factory":
        model, arguments, keywords = factory.build_from_factory(parsed, source, device="cpu")
    else:
        kind, config = hugging_face.class_and_config(parsed, source)
        model, keywords = hugging_face.build_on_device(kind, config, "cpu", source)
    if not dropout:
        disable_dropout(model)
        if config is not None:
            _disable_config_dropout(config)
    randomize_parameters(model, seed)
    return ModelUnderTest(model.train(), arguments, keywords, config)


def _disable_config_dropout(config: Any) -> None:
    for name, value in list(vars(config).items()):
        if type(value) is float and "drop" in name:
            setattr(config, name, 0.0)


def randomize_parameters(model: nn.Module, seed: int) -> None:
    """Random numbers that leave no gradient small: a norm of ones and a bias of zeros would hide that
    they are used wrongly."""
    random = torch.Generator().manual_seed(seed + 1)
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for parameter in model.parameters():
            if not parameter.is_floating_point():
                continue
            noise = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            if parameter.ndim < 2:
                parameter.add_((noise * _VECTOR_NOISE).to(parameter.dtype))  # about what it is: one, or zero
            elif id(parameter) in tables:
                parameter.copy_(noise * _EMBEDDING_SCALE)
            else:
                fan = parameter.numel() / max(parameter.shape[0], 1)
                parameter.copy_(noise * (_MATRIX_GAIN / max(fan, 1.0) ** 0.5))
