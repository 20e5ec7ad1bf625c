"""Errors that users of planc catch."""

from __future__ import annotations

from collections.abc import Sequence


class WeightsError(ValueError):
    """Weights that do not fit a model; `faults` has a line for each. Nothing has been changed."""

    def __init__(self, headline: str, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__("\n  ".join((headline, *faults)))


class CallError(ValueError):
    """A call of a split model that differs from the one that the plan is proved for, in what the proof relies on."""
