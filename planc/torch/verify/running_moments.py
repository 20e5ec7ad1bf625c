"""Means and standard errors of samples of many tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from planc.ir.verify_result import ComparedKind
from planc.torch.verify.error_scale import FLOAT32_EPS

TensorKey = tuple[ComparedKind, str]
Sample = Mapping[TensorKey, Tensor]
"""One sample of each tensor, by kind and name."""


class RunningMoments:
    """The mean and the standard error of each entry of each tensor, and of its projection on a direction.

    A projection adds up what single entries show only a little of.
    """

    def __init__(self, directions: Sample) -> None:
        """
        Args:
            directions: by tensor, of its shape; samples of other tensors, or of other shapes, are ignored.
        """
        self._directions = directions
        self.count: dict[TensorKey, int] = {}
        self._sums: dict[TensorKey, Tensor] = {}
        self._squares: dict[TensorKey, Tensor] = {}

    def add(self, sample: Sample) -> None:
        """Add one sample of each tensor."""
        for key, tensor in sample.items():
            direction = self._directions.get(key)
            if direction is None or direction.shape != tensor.shape:
                continue
            entries = tensor.double().flatten()
            projection = (tensor.double() * direction).sum().reshape(1)
            values = torch.cat([entries, projection])
            self.count[key] = self.count.get(key, 0) + 1
            self._sums[key] = self._sums.get(key, 0) + values
            self._squares[key] = self._squares.get(key, 0) + values**2

    def mean_and_squared_error(self, key: TensorKey) -> tuple[Tensor, Tensor]:
        """Of one tensor the means of the entries and, last, of the projection; and the squares of their
        standard errors, from the unbiased variance."""
        count = self.count[key]
        mean = self._sums[key] / count
        variance = (self._squares[key] / count - mean**2).clamp(min=0) * count / (count - 1)
        return mean, variance / count

    def max_deviation(self, other: RunningMoments, key: TensorKey) -> float:
        """The largest difference of two means of a tensor, in standard errors of that difference; in units of
        float32 rounding where dropout does not reach the tensor, so that there is no spread."""
        mean, squared_error = self.mean_and_squared_error(key)
        expected, expected_squared_error = other.mean_and_squared_error(key)
        magnitude = torch.full_like(mean, float(expected[:-1].abs().max()) if len(expected) > 1 else 0.0)
        magnitude[-1] = float((self._directions[key].abs() * magnitude[0]).sum())
        standard_error = (squared_error + expected_squared_error).sqrt()
        rounding = FLOAT32_EPS * magnitude + torch.finfo(torch.float64).tiny
        worst = ((mean - expected).abs() / torch.maximum(standard_error, rounding)).max()
        return float(worst) if bool(torch.isfinite(worst)) else math.inf


def mean_of_samples(samples: Iterable[Sample], count: int) -> dict[TensorKey, Tensor]:
    """The mean of each tensor over `count` samples, in float64."""
    means: dict[TensorKey, Tensor] = {}
    for sample in samples:
        for key, tensor in sample.items():
            means[key] = means.get(key, 0) + tensor.double() / count
    return means
