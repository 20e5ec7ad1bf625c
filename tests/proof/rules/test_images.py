"""Rules of operations on images and other grids."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.proof.rules.harness import Case, T, cover
from tests.proof.rules.known_strictness import known_strictness

RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])


@RANKS
def test_resampling(ranks):
    n, call = ranks, functional.interpolate
    cover([
        Case("interpolate", T(n, n, 4), 8, call=call),
        Case("interpolate", T(n, 2 * n, 2, 3), scale_factor=2, mode="bilinear", call=call),
        Case("interpolate", T(n, n, 4, 4), (2, 2), mode="area", call=call),
        Case("grid_sample", T(n, n, 3, 3), T(n, 2, n, 2), align_corners=False, call=functional.grid_sample),
        Case("fold", T(n, 4 * n, 4), (4, 4), 2, stride=2, call=functional.fold),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_shuffling(ranks):
    n = ranks
    cover([
        Case("pixel_shuffle", T(n, 4 * n, 2, 2), 2, call=torch.pixel_shuffle),
        Case("pixel_shuffle", T(n, 2, 4, n, 2), 2, call=torch.pixel_shuffle),
        Case("pixel_unshuffle", T(n, n, 2, 4), 2, call=torch.pixel_unshuffle),
        Case("channel_shuffle", T(n, 2 * n, 2, n), 2, call=torch.channel_shuffle),
        Case("local_response_norm", T(n, n, 2, n), 2, call=functional.local_response_norm),
    ], ranks, known_strict=known_strictness)  # fmt: skip
