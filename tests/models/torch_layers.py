"""Torch's own layers, each alone: factories with example inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Built = tuple[nn.Module, tuple[Any, ...]]


class Called(nn.Module):
    """A layer that needs more than its first input, or returns more than a tensor."""

    def __init__(self, layer: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)


_ROW, _IMAGE, _SOUND, _VOLUME = (8, 6, 16), (8, 16, 8, 8), (8, 16, 12), (8, 16, 4, 4, 4)


def _self_attention(layer: Any, x: Tensor) -> Tensor:
    result: Tensor = layer(x, x, x, need_weights=False)[0]
    return result


def _first(layer: Any, x: Tensor) -> Tensor:
    result: Tensor = layer(x)[0]
    return result


def _to_itself(layer: Any, x: Tensor) -> Tensor:
    result: Tensor = layer(x, x)
    return result


def _encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)


def _decoder_layer() -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(16, 8), _ROW),
    "Bilinear": (lambda: Called(nn.Bilinear(16, 16, 8), _to_itself), _ROW),
    "MultiheadAttention": (
        lambda: Called(nn.MultiheadAttention(16, 4, batch_first=True), _self_attention), _ROW,
    ),
    "TransformerEncoderLayer": (_encoder_layer, _ROW),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(_encoder_layer(), 2), _ROW),
    "TransformerDecoderLayer": (lambda: Called(_decoder_layer(), _to_itself), _ROW),
    "TransformerDecoder": (lambda: Called(nn.TransformerDecoder(_decoder_layer(), 2), _to_itself), _ROW),
    "Transformer": (
        lambda: Called(nn.Transformer(16, 4, 2, 2, 32, dropout=0.0, batch_first=True), _to_itself), _ROW,
    ),
    "RNN": (lambda: Called(nn.RNN(16, 8, batch_first=True), _first), _ROW),
    "LSTM": (lambda: Called(nn.LSTM(16, 8, 2, batch_first=True), _first), _ROW),
    "LSTM bidirectional": (lambda: Called(nn.LSTM(16, 8, batch_first=True, bidirectional=True), _first), _ROW),
    "GRU": (lambda: Called(nn.GRU(16, 8, batch_first=True), _first), _ROW),
    "Conv1d": (lambda: nn.Conv1d(16, 8, 3, padding=1), _SOUND),
    "Conv2d": (lambda: nn.Conv2d(16, 8, 3, padding=1), _IMAGE),
    "Conv2d depthwise": (lambda: nn.Conv2d(16, 16, 3, padding=1, groups=16), _IMAGE),
    "Conv3d": (lambda: nn.Conv3d(16, 8, 3), _VOLUME),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(16, 8, 3), _SOUND),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(16, 8, 3), _IMAGE),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(16, 8, 3), _VOLUME),
    "LayerNorm": (lambda: nn.LayerNorm(16), _ROW),
    "RMSNorm": (lambda: nn.RMSNorm(16), _ROW),
    "GroupNorm": (lambda: nn.GroupNorm(4, 16), _IMAGE),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(16, affine=True), _SOUND),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(16, affine=True), _IMAGE),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(16, affine=True), _VOLUME),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(16), _SOUND),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(16), _IMAGE),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(16), _VOLUME),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(16), _IMAGE),
    "LocalResponseNorm": (lambda: nn.Sequential(nn.Conv2d(16, 8, 1), nn.LocalResponseNorm(2)), _IMAGE),
    "PReLU": (lambda: nn.PReLU(16), _SOUND),
    "weight_norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(16, 8)), _ROW),
    "spectral_norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(16, 8)), _ROW),
}  # fmt: skip
"""By the name: what builds it, and the shape of its input; the first dim is the batch."""


def __getattr__(name: str) -> Callable[[], Built]:
    """The factory of a layer; spaces in its name are underscores here."""
    for key, (build, shape) in LAYERS.items():
        if key.replace(" ", "_") == name:
            return lambda: (build(), (torch.randn(shape),))
    raise AttributeError(name)
