"""The English of means over the batch, on an axis that splits it."""

from __future__ import annotations

from collections.abc import Mapping

from planc.proof.batch_causes import AverageLeaves, AverageUse, AverageUsed, SumLeaves, UnequalCounts
from planc.proof.unproved import TargetsIgnored
from planc.proof.violations import Cause

BATCH_SENTENCES: Mapping[type[Cause], tuple[str, str]] = {
    AverageUsed: ("{how}", "{instead}"),
    UnequalCounts: ("{how}", "counts that are the same on every rank, or a loss that is computed outside of the model"),
    SumLeaves: ("it leaves as the sum over a rank's part of the batch: FSDP averages gradients, and those of a sum are too "
                "small by the number of ranks", "a mean over the batch, or each sample's value"),
    AverageLeaves: ("it leaves as means over a rank's part of the batch, of shape {shape}",
                    "each rank's part of the batch, or one number that is a mean over it, as a loss"),
    TargetsIgnored: ("the mean leaves out targets that are {entry}, and ranks may have other numbers of them: the mean of their "
                     "means is not that of the batch", "a loss that is computed outside of the model, or targets that are taken "
                     "from an input as they are"),
}  # fmt: skip
"""What was found, and what is needed instead."""

_OWN = "a statistic of each sample by itself, or a loss that is computed outside of the model"
_AVERAGE_USES: Mapping[AverageUse, tuple[str, str]] = {
    "product": ("means over the batch are multiplied, or one divides another: the mean of the ranks' results is not that of the means", _OWN),
    "nonlinear operation": ("a mean over the batch enters a function that is not linear: the mean of the ranks' results is not "
                            "that of the mean", _OWN),
    "samples": ("a mean over the batch is combined with the samples: each rank has the mean of its own part", _OWN),
    "sum": ("a mean over the batch is combined with a sum over it", "two means"),
    "written": ("a mean over the batch is written into a tensor that all ranks have: their copies would drift apart",
                "a new tensor, as in 'x = x + y'"),
}  # fmt: skip

_COUNTS: Mapping[str, str] = {
    "weights": "the mean divides by the sum of the class weights of the targets, which differs between ranks",
    "sum": "a sum over the batch is divided by another one: each rank would divide by the count of its own part",
}


def batch_phrases(cause: Cause) -> Mapping[str, str]:
    """Parts of a sentence that are no field of the cause."""
    if isinstance(cause, AverageUsed):
        return dict(zip(("how", "instead"), _AVERAGE_USES[cause.use], strict=True))
    return {"how": _COUNTS[cause.by]} if isinstance(cause, UnequalCounts) else {}
