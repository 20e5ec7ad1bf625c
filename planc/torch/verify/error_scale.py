"""Errors in units of what rounding in float32 explains.

The unsplit model runs in float64 and in float32. The largest difference between the two is the unit of
a tensor, or the rounding of its largest entry where that is more.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOAT32_EPS = float(torch.finfo(torch.float32).eps)


def error_scale(exact: Tensor, rounded: Tensor | None, kind_max: float = 0.0) -> float:
    """The unit of a tensor's errors.

    Args:
        exact: the tensor in float64, of any shape.
        rounded: the same computed in float32, if that is possible.
        kind_max: the largest entry of all tensors of the same kind. A gradient that is zero but for rounding
            is measured against the others, not against itself.
    """
    largest = max(_max_abs(exact), kind_max)
    difference = 0.0 if rounded is None else _max_abs(rounded.double() - exact.double())
    finite = difference if math.isfinite(difference) else 0.0
    return max(finite, FLOAT32_EPS * largest, torch.finfo(torch.float64).tiny)


def scaled_error(actual: Tensor, expected: Tensor, scale: float) -> tuple[float, str]:
    """The largest error of a tensor in units of `scale`, and a note where it is infinite: another shape, integers
    that differ, infinite or NaN entries."""
    if actual.shape != expected.shape:
        return math.inf, f"has shape {tuple(actual.shape)}, not {tuple(expected.shape)}"
    if not expected.is_floating_point():
        wrong = int((actual != expected).sum()) if expected.numel() else 0
        return (math.inf, f"{wrong} of {expected.numel()} numbers differ") if wrong else (0.0, "")
    actual, expected = actual.detach().double(), expected.detach().double()
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(actual)):
        return math.inf, "is infinite or NaN where the unsplit model is finite, or the reverse"
    return _max_abs((actual - expected)[finite]) / scale, ""


def _max_abs(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0
