"""The result of `planc verify`: a sharded model compared with the same model on one rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from planc.ir.record import Record
from planc.ir.resolved import Located

ComparedKind = Literal["output", "loss", "gradient", "weight"]
NumericVerdict = Literal["right", "wrong", "unjudged"]


ERROR_LIMIT = 16.0
"""The largest error of equal tensors, in units: another order of summation makes a few, a wrong plan thousands."""


class TensorComparison(Record):
    """One tensor of the sharded model, compared with the reference model's."""

    kind: ComparedKind
    name: str
    """Of the parameter, the result or the step."""
    scenario: str
    """The name of the scenario: what the model was called with."""
    error: float
    """In units of float32 rounding; infinite where a number is missing, is NaN, or has another shape."""
    note: str = ""
    """What the error cannot express: a shape, a missing gradient."""
    rule: Located | None = None
    """The rule of the plan that applies to it."""
    limit: float = ERROR_LIMIT
    """The largest error that is right, in units."""

    @property
    def is_right(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


class ScenarioRun(Record):
    """How one run ended."""

    scenario: str
    error: str | None = None
    """The exception, in one line."""
    is_allowed: bool = False
    """Whether an exception is allowed: the plan need not take such inputs."""


class VerifyResult(Record):
    """The result for one plan."""

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
    """Why nothing was run, or why the plan is wrong apart from the comparisons."""
    proof_findings: tuple[str, ...] = ()
    """What the proof finds wrong; the comparisons are of the plan as it is written."""
