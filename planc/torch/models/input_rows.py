"""The inputs of models of transformers: a row for each name, with the shapes that it may have and the values that it takes.

Models that take other shapes under the same name are told apart by trying: the first shape that a model accepts is its.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.torch.models.config_sizes import ConfigSizes

BATCH, LENGTH, LENGTH_MULTIPLE = 4, 384, 64
"""Sizes that many numbers of devices divide, and that are no other size of a usual model."""
_AUDIO_SAMPLES = 16000
_FRAMES = 1024
_LENGTH_FACTS = (
    "max_position_embeddings", "n_positions", "max_target_positions", "max_sequence_length", "n_ctx", "seq_length",
    "max_seq_len", "max_seq_length",
)  # fmt: skip
"""Names that configurations use for the longest sequence."""

Values = Literal["tokens", "normal", "ones", "zeros", "boxes", "half", "points"]
"""What an input holds: tokens of the vocabulary, normal numbers, ones, zeros, boxes (left, top, right, bottom up to 1000),
true in the first half of each row, points of an image."""
Shape = tuple[int, ...]


class InputRow(Record):
    """One input."""

    shapes: Callable[[ConfigSizes], list[Shape]]
    """The shapes that it may have, the most usual first; none where the configuration has no part for it."""
    dtype: str = "float32"
    values: Values = "normal"
    kind: Literal["modality", "mask", "extra"] = "extra"
    """Whether a model that accepts it is given it: a *modality* always, where the model accepts it; the others where
    nothing less will do."""

    def infos(self, sizes: ConfigSizes) -> list[TensorInfo]:
        """The tensors that it may be."""
        return [TensorInfo(shape, self.dtype) for shape in dict.fromkeys(self.shapes(sizes))]


def sequence_length(config: object) -> int:
    """The usual length of a sequence, or the longest that the model accepts if that is shorter."""
    sizes = ConfigSizes(config)
    text = sizes.root_setting("text_config") or config
    limits = [getattr(text, name, None) for name in _LENGTH_FACTS]
    length = min([LENGTH, *(limit for limit in limits if type(limit) is int and limit > 0)])
    return length - length % LENGTH_MULTIPLE if length > LENGTH_MULTIPLE else length


def _text(*more: int) -> Callable[[ConfigSizes], list[Shape]]:
    return lambda sizes: [(BATCH, sequence_length(sizes.config), *more)]


def _hidden(sizes: ConfigSizes) -> list[Shape]:
    width = sizes.size("text", "hidden_size", "d_model", "n_embd", "dim", default=64)
    return [(BATCH, sequence_length(sizes.config), width)]


def _images(sizes: ConfigSizes) -> list[Shape]:
    channels, height, width = sizes.image()
    frames = sizes.size("vision", "num_frames", default=0)
    still, moving = (BATCH, channels, height, width), (BATCH, frames, channels, height, width)
    several = (BATCH, 1, channels, height, width)
    return [moving, still] if frames else [still, several]


def _videos(sizes: ConfigSizes) -> list[Shape]:
    channels, height, width = sizes.image()
    frames = sizes.size("vision", "num_frames", "frames_per_clip", "crop_size_frames", default=8)
    return [(BATCH, frames, channels, height, width), (BATCH, channels, frames, height, width)]


def _pixel_masks(sizes: ConfigSizes) -> list[Shape]:
    _, height, width = sizes.image()
    return [(BATCH, height, width), (BATCH, 1, height, width)]


def _patch_masks(sizes: ConfigSizes) -> list[Shape]:
    _, height, width = sizes.image()
    patch = sizes.size("vision", "patch_size", default=16)
    patches = (height // patch) * (width // patch)
    frames = sizes.size("vision", "num_frames", default=0)
    tubes = frames // sizes.size("vision", "tubelet_size", default=1) if frames else 1
    return [(BATCH, patches * max(tubes, 1)), (BATCH, height // patch, width // patch)]


def _flat_patches(sizes: ConfigSizes) -> list[Shape]:
    width = sizes.size("vision", "patch_embed_hidden_size", default=768)
    return [(BATCH, 64, width + 2)]


def _mels(sizes: ConfigSizes) -> int:
    names = ("num_mel_bins", "feature_size", "input_feat_per_channel", "n_mels", "feature_projection_input_dim", "mel_bins",
             "input_feat_size", "num_mels", "input_size", "input_dim")  # fmt: skip
    return sizes.size("audio", *names, default=80)


def _features(sizes: ConfigSizes) -> list[Shape]:
    mels, most = (
        _mels(sizes),
        sizes.size("audio", "max_source_positions", "max_position_embeddings", default=LENGTH),
    )
    rows_last = (BATCH, _FRAMES, mels)
    return [(BATCH, mels, 2 * most), rows_last, (BATCH, 1, _FRAMES, mels), (BATCH, mels, _FRAMES)]


def _feature_masks(sizes: ConfigSizes) -> list[Shape]:
    return [*((BATCH, shape[-1]) for shape in _features(sizes)), (BATCH, _FRAMES)]


def _waves(sizes: ConfigSizes) -> list[Shape]:
    mels = _mels(sizes)
    frames = sizes.size("audio", "max_length", default=_FRAMES)
    spectrogram = [(BATCH, frames, mels)] if sizes.find("audio", "num_mel_bins", "mel_bins") else []
    return [*spectrogram, (BATCH, _AUDIO_SAMPLES), (BATCH, 1, _AUDIO_SAMPLES), (BATCH, 1, _FRAMES, mels)]


def _series(sizes: ConfigSizes) -> list[Shape]:
    lags = sizes.root_setting("lags_sequence")
    past = sizes.size("", "context_length", "prediction_length", default=64) + max(
        lags if isinstance(lags, list) and lags else [0]
    )
    channels = sizes.size("", "num_input_channels", "input_size", default=1)
    wide, flat = (BATCH, past, channels), (BATCH, past)
    return [wide, flat] if sizes.root_setting("num_input_channels") or channels > 1 else [flat, wide]


def _series_features(sizes: ConfigSizes) -> list[Shape]:
    return [(*_series(sizes)[0][:2], sizes.size("", "num_time_features", default=1))]


def _queries(sizes: ConfigSizes) -> list[Shape]:
    return [
        (BATCH, sizes.size("", "num_query_tokens", default=32), sizes.size("", "hidden_size", default=64))
    ]


def _visual(name: str, width: int) -> Callable[[ConfigSizes], list[Shape]]:
    return lambda sizes: [(BATCH, 36, sizes.size("", name, default=width))]


def _latents(sizes: ConfigSizes) -> list[Shape]:
    width = sizes.size("", "hidden_size", "latent_dim", "codebook_dim", default=64)
    return [(BATCH, width, 64), (BATCH, 64, width)]


def _spectrogram(sizes: ConfigSizes) -> list[Shape]:
    return [(BATCH, 64, sizes.size("", "model_in_dim", "num_mel_bins", default=80))]


def _codes(sizes: ConfigSizes) -> list[Shape]:
    books = sizes.size("audio", "num_quantizers", "num_codebooks", "n_codebooks", "n_codes_total", default=8)
    return [(BATCH, books, 64), (BATCH, 64, books), (BATCH, 64)]


def _perceived(sizes: ConfigSizes) -> list[Shape]:
    channels, height, width = sizes.image()
    return [_hidden(sizes)[0], (BATCH, channels, height, width)]


_TOKENS = InputRow(_text(), "int64", "tokens", "modality")
_MASK = InputRow(_text(), "int64", "ones", "mask")
_IMAGES = InputRow(_images, kind="modality")

INPUT_ROWS: Mapping[str, InputRow] = {
    "input_ids": _TOKENS,
    "decoder_input_ids": _TOKENS,
    "pixel_values": _IMAGES,
    "pixel_values_videos": InputRow(_videos, kind="modality"),
    "input_features": InputRow(_features, kind="modality"),
    "input_values": InputRow(_waves, kind="modality"),
    "past_values": InputRow(_series, kind="modality"),
    "flattened_patches": InputRow(_flat_patches, kind="modality"),
    "inputs": InputRow(_perceived, kind="modality"),
    "bbox": InputRow(_text(4), "int64", "boxes", "modality"),
    "visual_embeds": InputRow(_visual("visual_embedding_dim", 512), kind="modality"),
    "visual_feats": InputRow(_visual("visual_feat_dim", 2048), kind="modality"),
    "visual_pos": InputRow(_visual("visual_pos_dim", 4), kind="modality"),
    "qformer_input_ids": _TOKENS,
    "task_inputs": InputRow(lambda sizes: [(BATCH, sizes.size("", "task_seq_len", default=77))], "int64", "tokens", "modality"),
    "prompt_pixel_values": _IMAGES,
    "audio_codes": InputRow(_codes, "int64", "zeros", "modality"),
    "codes": InputRow(_codes, "int64", "zeros", "modality"),
    "spectrogram": InputRow(_spectrogram, kind="modality"),
    "latents": InputRow(_latents, kind="modality"),
    "decoder_input_values": InputRow(_spectrogram, kind="modality"),
    "hidden_states": InputRow(_hidden),
    "inputs_embeds": InputRow(_hidden),
    "encoder_hidden_states": InputRow(_hidden),
    "query_embeds": InputRow(_queries),
    "prompt_masks": InputRow(_images),
    "attention_mask": _MASK,
    "qformer_attention_mask": _MASK,
    "decoder_attention_mask": _MASK,
    "token_type_ids": InputRow(_text(), "int64", "zeros", "mask"),
    "pixel_mask": InputRow(_pixel_masks, "int64", "ones", "mask"),
    "pixel_attention_mask": InputRow(_pixel_masks, "bool", "ones", "mask"),
    "bool_masked_pos": InputRow(_patch_masks, "bool", "half", "mask"),
    "input_features_mask": InputRow(_feature_masks, "int64", "ones", "mask"),
    "past_observed_mask": InputRow(_series, "float32", "ones", "mask"),
    "past_values_padding": InputRow(_series, "int64", "zeros", "mask"),
    "past_time_features": InputRow(_series_features),
    "freq": InputRow(lambda _: [(BATCH, 1)], "int64", "zeros"),
    "input_points": InputRow(lambda _: [(BATCH, 1, 1, 2)], "float32", "points"),
    "input_labels": InputRow(lambda _: [(BATCH, 1, 1)], "int64", "ones"),
}  # fmt: skip
"""By the name of the input."""
