"""Values for the example inputs of a model of transformers: tokens without a meaning of their own, and a token for each part
of an image or a sound where the model looks for one."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import leaves
from planc.torch.models.config_sizes import ConfigSizes, config_value, nested_configs
from planc.torch.models.input_rows import INPUT_ROWS

_PLACEHOLDERS = {
    "pixel_values": ("get_image_features", ("image_token_id", "image_token_index")),
    "input_features": ("get_audio_features", ("audio_token_id", "audio_token_index")),
    "input_values": ("get_audio_features", ("audio_token_id", "audio_token_index")),
}
"""By the input: the method that computes its features, and the settings that name the token which they replace."""


def token_ids(config: Any) -> Tensor:
    """The ids of tokens without a special meaning: some models count padding, for instance."""
    configs = [part for _, part in nested_configs(config)]
    text = config_value(config, "text_config") or config
    found = [config_value(part, "vocab_size") for part in (text, *configs)]
    count = next((size for size in found if type(size) is int and size > 0), 2)
    settings = [
        value
        for part in configs
        for name, value in vars(part).items()
        if name.endswith(("_token_id", "_token_index"))
    ]
    special = {value for value in settings if type(value) is int}
    ordinary = [token for token in range(count) if token not in special]
    return torch.tensor(ordinary or [0])


def placeholder_tokens(model: nn.Module, config: Any, inputs: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The tokens that stand for parts of images and sounds, and how many of them each row of a text needs.

    Args:
        model: the model, with weights.
        config: its configuration.
        inputs: its inputs by name, with values.
    """
    found = []
    for name, (method, settings) in _PLACEHOLDERS.items():
        token = ConfigSizes(config).find("", *settings)
        compute = getattr(model, method, None) or getattr(getattr(model, "model", None), method, None)
        if name not in inputs or "input_ids" not in inputs or type(token) is not int or compute is None:
            continue
        with contextlib.suppress(Exception), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            features: Any = compute(inputs[name])
            pooled = getattr(features, "pooler_output", features)
            rows = [item for item in leaves(pooled, Tensor) if item.is_floating_point()]
            count = sum(item.numel() // item.shape[-1] for item in rows)
            found.append((token, count // len(inputs["input_ids"])))
    return found


def random_values(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, config: Any, generator: torch.Generator
) -> Tensor:
    """Values for an input of this name."""
    row = INPUT_ROWS.get(name)
    kind = row.values if row is not None else "normal" if dtype.is_floating_point else "zeros"
    if kind == "tokens":
        tokens = token_ids(config)
        return tokens[torch.randint(0, len(tokens), shape, generator=generator)]
    if kind == "normal":
        return torch.randn(shape, generator=generator).to(dtype)
    if kind == "half":
        return (torch.arange(shape[-1]) < shape[-1] // 2).expand(shape).to(dtype).clone()
    if kind == "boxes":
        limit = ConfigSizes(config).size("text", "max_2d_position_embeddings", default=1024)
        low = torch.randint(0, limit // 2, (*shape[:-1], 2), generator=generator)
        size = torch.randint(0, limit // 2 - 1, (*shape[:-1], 2), generator=generator)
        return torch.cat((low, low + size), -1).to(dtype)
    if kind == "points":
        return (torch.rand(shape, generator=generator) * 32).to(dtype)
    return torch.full(shape, int(kind == "ones"), dtype=dtype)


def example_values(
    model: nn.Module, config: Any, inputs: Mapping[str, Any], generator: torch.Generator
) -> dict[str, Any]:
    """Inputs with values, like those on the meta device.

    Args:
        model: the model, with weights.
        config: its configuration.
        inputs: the keywords of its example call.
        generator: of the random numbers.
    """
    filled = {
        name: random_values(name, tuple(item.shape), item.dtype, config, generator)
        if isinstance(item, Tensor)
        else item
        for name, item in inputs.items()
    }
    return with_placeholders(model, config, filled, generator)


def with_placeholders(
    model: nn.Module, config: Any, inputs: dict[str, Any], generator: torch.Generator
) -> dict[str, Any]:
    """Inputs whose text has the tokens that stand for parts of images and sounds; it gets longer where they do not fit."""
    for token, count in placeholder_tokens(model, config, inputs):
        text = inputs["input_ids"]
        rows, length = text.shape[:2]
        missing = count + 8 - length
        if missing > 0:
            more = random_values("input_ids", (rows, missing), text.dtype, config, generator)
            inputs["input_ids"] = text = torch.cat((text, more), 1)
        text[:, 1 : 1 + count] = token
    return inputs
