"""What a model of transformers is called with where nobody says."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import TensorInfo

BATCH, LENGTH, MULTIPLE = 4, 384, 64
"""Sizes that many numbers of devices divide, and that no model has by chance."""

_LONGEST = ("max_position_embeddings", "n_positions", "max_target_positions", "max_sequence_length", "n_ctx", "seq_length")  # fmt: skip


def default_inputs(config: Any, main: str, takes: set[str]) -> dict[str, TensorInfo]:
    """The inputs of a model, by name.

    Args:
        config: its configuration.
        main: the input that transformers calls the main one.
        takes: the names that its forward takes.
    """
    tokens = TensorInfo((BATCH, length(config)), "int64")
    if main == "pixel_values":
        found = {main: TensorInfo((BATCH, *_image(config)), "float32")}
    elif main == "input_features":
        frames = 2 * int(getattr(config, "max_source_positions", LENGTH))
        found = {main: TensorInfo((BATCH, int(getattr(config, "num_mel_bins", 80)), frames), "float32")}
    elif main == "input_values":
        found = {main: TensorInfo((BATCH, 16000), "float32")}
    else:
        found = {main: tokens}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in takes:
        found["decoder_input_ids"] = tokens
    return found


def length(config: Any) -> int:
    """The length of a sequence: the usual one, or what the model takes at most."""
    of_text = getattr(config, "text_config", None) or config
    most = [getattr(of_text, name, None) for name in _LONGEST]
    least = min([LENGTH, *(size for size in most if type(size) is int and size > 0)])
    return least - least % MULTIPLE if least > MULTIPLE else least


def _image(config: Any) -> tuple[int, int, int]:
    of_vision = getattr(config, "vision_config", None) or config
    size = getattr(of_vision, "image_size", 224)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(getattr(of_vision, "num_channels", 3)), int(height), int(width)
