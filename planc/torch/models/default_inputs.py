"""What a model of transformers is called with where nobody says."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import TensorInfo

BATCH, LENGTH, LENGTH_MULTIPLE = 4, 384, 64
"""Sizes that many numbers of devices divide, and that no model has by chance."""

_LONGEST = ("max_position_embeddings", "n_positions", "max_target_positions", "max_sequence_length", "n_ctx", "seq_length")  # fmt: skip


def default_inputs(config: Any, main_input: str, accepted: set[str]) -> dict[str, TensorInfo]:
    """The inputs of a model, by name.

    Args:
        config: its configuration.
        main: the input that transformers calls the main one.
        takes: the names that its forward takes.
    """
    tokens = TensorInfo((BATCH, sequence_length(config)), "int64")
    if main_input == "pixel_values":
        found = {main_input: TensorInfo((BATCH, *_image(config)), "float32")}
    elif main_input == "input_features":
        frames = 2 * int(getattr(config, "max_source_positions", LENGTH))
        found = {main_input: TensorInfo((BATCH, int(getattr(config, "num_mel_bins", 80)), frames), "float32")}
    elif main_input == "input_values":
        found = {main_input: TensorInfo((BATCH, 16000), "float32")}
    else:
        found = {main_input: tokens}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted:
        found["decoder_input_ids"] = tokens
    return found


def sequence_length(config: Any) -> int:
    """The length of a sequence: the usual one, or what the model takes at most."""
    of_text = getattr(config, "text_config", None) or config
    most = [getattr(of_text, name, None) for name in _LONGEST]
    least = min([LENGTH, *(size for size in most if type(size) is int and size > 0)])
    return least - least % LENGTH_MULTIPLE if least > LENGTH_MULTIPLE else least


def _image(config: Any) -> tuple[int, int, int]:
    of_vision = getattr(config, "vision_config", None) or config
    size = getattr(of_vision, "image_size", 224)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(getattr(of_vision, "num_channels", 3)), int(height), int(width)
