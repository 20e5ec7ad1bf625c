"""Digests of tensors and texts: ranks compare a few bytes instead of the tensors."""

from __future__ import annotations

import hashlib
from functools import cache

import torch
from torch import Tensor

_CHUNK_WORDS = 1 << 17
"""Words of 8 bytes that are hashed at once: intermediate results stay in a processor's cache."""
_MULTIPLIER, _MIXER = 0x9E3779B97F4A7C15 - 2**64, 0x6C62272E07BB0142 | 1


def tensor_digest(tensor: Tensor) -> Tensor:
    """A hash of the bytes of a tensor and their order: an int64 scalar on the tensor's device, the same on every
    kind of device. Not a cryptographic hash."""
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    with torch.no_grad():
        for words in torch.split(_words(tensor), _CHUNK_WORDS):
            # A shift between two products, so that bits at the top of two words do not cancel.
            mixed = words * _odd_factors(tensor.device)[: len(words)]
            mixed = (mixed ^ (mixed >> 29)) * _MIXER
            total = total * _MULTIPLIER + mixed.sum()
    return total


def text_digest(text: str) -> int:
    """A hash of a text: a number of 63 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def _words(tensor: Tensor) -> Tensor:
    """The bytes of a tensor as int64, padded with zeros."""
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    rest = -len(data) % 8
    if rest or data.storage_offset() % 8:
        data = torch.cat([data, data.new_zeros(rest)])
    return data.view(torch.int64)


@cache
def _odd_factors(device: torch.device) -> Tensor:
    """A factor for each word; odd, so that no bit of a word is lost."""
    return (2 * torch.arange(_CHUNK_WORDS, device=device) + 1) * _MULTIPLIER
