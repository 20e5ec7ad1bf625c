"""Why the proof refuses to recompute a region."""

from __future__ import annotations

from typing import Literal

from planc.proof.unproved import Unproved
from planc.proof.violations import Cause

MemoryChange = Literal["own", "later", "order", "kept"]
"""What changes memory between the two runs of a region: the first run itself, or code that runs after it. With
`order`, the second run undoes what such code has written. With `kept`, it is a result that the region saves."""


class NotRepeatable(Cause):
    """The second run of a recomputed region finds, or leaves, other content in memory from outside."""

    LAW = "repeat"
    memory: str
    """The memory in words, as `the buffer running_mean`."""
    change: MemoryChange


class SecondRunDiffers(Cause):
    """The captured run has run the region again, after the pass, and it has done something else."""

    LAW = "repeat"


class OwnGenerator(Cause):
    """Code of the region draws from a generator of its own, which recomputation does not put back."""

    LAW = "repeat"


class SecondRunUnknown(Unproved):
    """The region leaves tensors for later code, or finds some, and the graph does not say what a second run does."""
