"""What numbers say of a plan: the split model against the same model unsplit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from planc.ir.record import Record
from planc.ir.resolved import Located

ComparedKind = Literal["output", "loss", "gradient", "weight"]
NumericVerdict = Literal["right", "wrong", "unjudged"]


ERROR_LIMIT = 16.0
"""Units up to which two tensors are the same: sums in another order make some, a wrong plan thousands."""


class TensorComparison(Record):
    """One tensor of the split model, held against the unsplit one's."""

    kind: ComparedKind
    name: str
    """Of the parameter, the result or the step."""
    scenario: str
    """What the model was called with, a name of the table of runs."""
    error: float
    """In units of what rounding in float32 explains; infinite where a number is missing, is none, or has
    another shape."""
    note: str = ""
    """What a number cannot say: a shape, a missing gradient."""
    rule: Located | None = None
    """The rule of the plan that governs it."""
    limit: float = ERROR_LIMIT
    """Units up to which it is right."""

    @property
    def is_right(self) -> bool:
        return self.error <= self.limit


class ScenarioRun(Record):
    """How one run ended."""

    scenario: str
    error: str | None = None
    """What was raised, in one line."""
    is_allowed: bool = False
    """Whether that is all right: inputs that the plan need not take."""


class VerifyResult(Record):
    """What was found of one plan."""

    plan: str
    model: str
    """The reference of the model that was run."""
    sizes: Mapping[str, int]
    seed: int
    verdict: NumericVerdict
    comparisons: tuple[TensorComparison, ...] = ()
    """The worst first."""
    scenario_runs: tuple[ScenarioRun, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why nothing was run, or why the plan is wrong beside the rows."""
    proof_findings: tuple[str, ...] = ()
    """What planc itself says against the plan; the numbers are of the plan as it is written."""
