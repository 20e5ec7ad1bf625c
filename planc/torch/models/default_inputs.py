"""The inputs that planc calls a model of transformers with unless the user names others."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import TensorInfo

BATCH, LENGTH, LENGTH_MULTIPLE = 4, 384, 64
"""Sizes that many numbers of devices divide, and that are no other size of a usual model."""
_AUDIO_SAMPLES = 16000
_LENGTH_FACTS = (
    "max_position_embeddings", "n_positions", "max_target_positions", "max_sequence_length", "n_ctx", "seq_length",
)  # fmt: skip
"""Names that configurations use for the longest sequence."""


def default_inputs(config: Any, main_input: str, accepted: set[str]) -> dict[str, TensorInfo]:
    """The inputs of a model, by name.

    Args:
        config: the configuration of the model.
        main_input: the name of the input that transformers calls the main one.
        accepted: the names that the model's forward accepts.
    """
    tokens = TensorInfo((BATCH, sequence_length(config)), "int64")
    if main_input == "pixel_values":
        found = {main_input: TensorInfo((BATCH, *_image_shape(config)), "float32")}
    elif main_input == "input_features":
        frames = 2 * int(getattr(config, "max_source_positions", LENGTH))
        found = {main_input: TensorInfo((BATCH, int(getattr(config, "num_mel_bins", 80)), frames), "float32")}
    elif main_input == "input_values":
        found = {main_input: TensorInfo((BATCH, _AUDIO_SAMPLES), "float32")}
    else:
        found = {main_input: tokens}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in accepted:
        found["decoder_input_ids"] = tokens
    return found


def sequence_length(config: Any) -> int:
    """The usual length of a sequence, or the longest that the model accepts if that is shorter."""
    text_config = getattr(config, "text_config", None) or config
    limits = [getattr(text_config, name, None) for name in _LENGTH_FACTS]
    length = min([LENGTH, *(limit for limit in limits if type(limit) is int and limit > 0)])
    return length - length % LENGTH_MULTIPLE if length > LENGTH_MULTIPLE else length


def _image_shape(config: Any) -> tuple[int, int, int]:
    """Channels, height and width."""
    vision_config = getattr(config, "vision_config", None) or config
    size = getattr(vision_config, "image_size", 224)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(getattr(vision_config, "num_channels", 3)), int(height), int(width)
