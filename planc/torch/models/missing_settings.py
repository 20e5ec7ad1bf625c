"""Small numbers for settings that a default configuration leaves open and its class needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planc.torch.models.config_sizes import ConfigSizes, config_value, nested_configs
from planc.torch.models.model_class import is_for_sequence_classification

_NUMBERS: Mapping[str, int | str] = {
    "num_key_value_heads": "num_attention_heads",
    "n_routed_experts": 8,
    "num_local_experts": 8,
    "num_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "top_k_experts": 2,
    "moe_intermediate_size": "intermediate_size",
    "q_lora_rank": "kv_lora_rank",
}
"""By the setting: a number, or the setting that it equals."""


_PLACEHOLDERS = (
    "image_token_id",
    "image_token_index",
    "audio_token_id",
    "audio_token_index",
    "video_token_id",
)
"""Tokens that stand for parts of images and sounds."""
_HEAD_DIM = 64


def fill_missing_settings(model_class: Any, config: Any, build: Callable[[], object]) -> None:
    """Set what a default configuration leaves open where the class needs a number.

    Args:
        model_class: a class of transformers.
        config: its default configuration; it is changed.
        build: builds the class from the configuration as it is now, and raises where it cannot.
    """
    if is_for_sequence_classification(model_class):  # it looks for the last token that is not padding
        for _, part in nested_configs(config):
            if config_value(part, "pad_token_id") is None and hasattr(part, "vocab_size"):
                part.pad_token_id = 0
    for part in _parts(config):
        for name in _PLACEHOLDERS:
            if name in vars(part) and vars(part)[name] is None:
                setattr(part, name, ConfigSizes(config).size("text", "vocab_size", default=2) - 1)
    if not any(True for part in _parts(config) for _ in _missing(part)):
        return
    try:
        build()
    except Exception:  # noqa: BLE001  # a class may fail in any way
        for part in _parts(config):
            for name, value in _missing(part).items():
                setattr(part, name, value)


def _parts(config: Any) -> list[Any]:
    return [part for _, part in nested_configs(config)]


def _missing(config: Any) -> dict[str, int]:
    """The settings that are not set, with numbers for them."""
    found: dict[str, int] = {}
    for name, row in _NUMBERS.items():
        number = config_value(config, row) if isinstance(row, str) else row
        if name in vars(config) and vars(config)[name] is None and type(number) is int:
            found[name] = number
    heads, width = config_value(config, "num_attention_heads"), config_value(config, "hidden_size")
    if (
        "head_dim" in vars(config)
        and vars(config)["head_dim"] is None
        and type(heads) is type(width) is int
        and heads
    ):
        found["head_dim"] = width // heads
    return found
