"""How a model that is built already is called where its user does not say all: what planc adds for models of transformers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from planc.torch.models.hugging_face import example_keywords, is_transformers_config
from planc.torch.models.meta_copy import meta_copy
from planc.torch.models.record_fields import settings_of

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments and keywords."""


def example_call(model: nn.Module, inputs: Sequence[Any] | Mapping[str, Any] | None) -> Call | None:
    """The arguments and keywords of a model's example call.

    Args:
        model: the model; one of transformers keeps no cache of keys and values, and needs no inputs.
        inputs: positional arguments or keywords; None: the user gives none.

    Returns:
        None: the user gives none, and the model is not of transformers.
    """
    config = settings_of(model, "config")
    if not is_transformers_config(config):
        return None if inputs is None else _as_call(inputs)
    if inputs is None and not hasattr(model, "main_input_name"):
        return None  # its configuration looks like one of transformers
    args, kwargs = _as_call(
        example_keywords(model, config, lambda: meta_copy(model)) if inputs is None else inputs
    )
    if "use_cache" in inspect.signature(model.forward).parameters:
        kwargs.setdefault("use_cache", False)
    return args, kwargs


def _as_call(inputs: Sequence[Any] | Mapping[str, Any]) -> Call:
    if isinstance(inputs, Mapping):
        return (), {str(name): value for name, value in inputs.items()}
    return tuple(inputs), {}
