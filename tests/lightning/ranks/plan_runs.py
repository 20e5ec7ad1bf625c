"""What the cases about plans share: how training went, and what was printed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from tests.lightning.ranks.models import (
    WIDTH,
    Model,
    max_difference,
    max_loss_difference,
    reference_run,
)

Report = dict[str, Any]
INPUTS = [f"x=float32[4,{WIDTH}]"]


def training_result(model: Model, made: Any, steps: int) -> Report:
    """How far training was from that of one process, and on which mesh."""
    losses, body = reference_run(steps)
    return {
        "losses": max_loss_difference(model.losses, losses),
        "weights": max_difference(model.body, body),
        "mesh": list(made.strategy.device_mesh.mesh.shape),
        "name": type(made.strategy).__name__,
    }


@contextlib.contextmanager
def captured_stderr() -> Iterator[io.StringIO]:
    """What is written to stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as message:
        yield message
