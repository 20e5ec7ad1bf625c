"""Parts of a Trainer that cannot do their work on a split model."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging

from planc.lightning import compat
from planc.prepare_plan import NotApplicable


def reject_unsupported(module: pl.LightningModule, checkpoint_io: Any) -> None:
    """Reject what would fail later, or be ignored silently.

    Args:
        module: its Trainer's callbacks are looked at.
        checkpoint_io: the CheckpointIO that the user gave, or None.

    Raises:
        NotApplicable: with a reason for each unsupported part.
    """
    averaging = [
        type(callback).__name__
        for callback in compat.callbacks(module)
        if isinstance(callback, WeightAveraging)
    ]
    reasons = [
        f"the callback {name} copies the model before it is split, and cannot average it afterwards. "
        "needed: no such callback; docs/lightning.md has one that averages split parameters"
        for name in averaging
    ]
    if checkpoint_io is not None:
        reasons.append(
            f"{type(checkpoint_io).__name__} would be ignored: under a plan, planc itself writes and reads "
            "checkpoints. needed: no CheckpointIO; to save in the background, save_in_background=True"
        )
    if reasons:
        raise NotApplicable((), tuple(reasons))
