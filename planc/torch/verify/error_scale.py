"""Errors in units of what rounding in float32 explains.

The unsplit model is run in float64 and in float32. The largest difference between the two is the unit of
a tensor, or the rounding of its largest number where the difference is smaller by chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOAT32_EPS = float(torch.finfo(torch.float32).eps)


def error_scale(exact: Tensor, rounded: Tensor | None, kind_max: float = 0.0) -> float:
    """The unit of a tensor.

    Args:
        exact: its numbers in float64.
        rounded: the same computed in float32, if that could be done.
        largest: the largest number of all tensors of its kind: what is zero but for rounding is not held
            against itself.
    """
    scale = max(_max_abs(exact), kind_max)
    apart = 0.0 if rounded is None else _max_abs(rounded.double() - exact.double())
    return max(apart if math.isfinite(apart) else 0.0, FLOAT32_EPS * scale, torch.finfo(torch.float64).tiny)


def scaled_error(got: Tensor, needed: Tensor, scale: float) -> tuple[float, str]:
    """How far a tensor is off, in units of this size, and what cannot be said in units."""
    if got.shape != needed.shape:
        return math.inf, f"has shape {tuple(got.shape)}, not {tuple(needed.shape)}"
    if not needed.is_floating_point():
        wrong = int((got != needed).sum()) if needed.numel() else 0
        return (math.inf, f"{wrong} of {needed.numel()} numbers differ") if wrong else (0.0, "")
    got, needed = got.detach().double(), needed.detach().double()
    known = torch.isfinite(needed)
    if not torch.equal(known, torch.isfinite(got)):
        return math.inf, "is not finite where it should be, or the other way round"
    return _max_abs((got - needed)[known]) / scale, ""


def _max_abs(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0
