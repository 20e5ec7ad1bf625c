"""What breaks the law of means over the batch, on an axis that splits it: `batch_sentences.py` says it in English."""

from __future__ import annotations

from typing import Literal

from planc.proof.violations import Cause

AverageUse = Literal["product", "nonlinear operation", "samples", "sum", "written"]


class AverageUsed(Cause):
    """Code computes something of the mean over a rank's part of the batch whose mean over the ranks is not the whole's."""

    LAW = "batch"
    use: AverageUse


class UnequalCounts(Cause):
    """A mean over the batch divides by a number that differs between ranks: their mean is not the whole's."""

    LAW = "batch"
    by: Literal["weights", "sum"]
    """The sum of the class weights of the targets, or a sum that the code computes."""


class SumLeaves(Cause):
    """A sum over the batch leaves the model: FSDP's averages of its gradients are too small."""

    LAW = "leaves"


class AverageLeaves(Cause):
    """Several means over the batch leave the model in one tensor: only a single number is a loss."""

    LAW = "leaves"
    shape: tuple[int, ...]
