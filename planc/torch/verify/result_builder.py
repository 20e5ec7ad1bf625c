"""Collects what the ranks found, scenario by scenario, into one result."""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.errors import CallError
from planc.ir.verify_result import (
    ComparedKind,
    NumericVerdict,
    ScenarioRun,
    TensorComparison,
    VerifyResult,
)
from planc.torch.verify.blame import RuleIndex
from planc.torch.verify.lowering import VerifyPlan
from planc.torch.verify.rank_pool import RankResult

_PLANC_ERRORS = tuple(f"{error.__name__}: planc: " for error in (ValueError, CallError))
"""What the text of an error begins with by which planc rejects inputs."""


class VerifyResultBuilder:
    """The result of one plan while its scenarios run."""

    def __init__(self, plan: VerifyPlan, reference: str, sizes: dict[str, int], seed: int) -> None:
        self._plan = plan
        self._header = (plan.result.document.source.name, reference, sizes, seed)
        self._worst: dict[tuple[ComparedKind, str, str], TensorComparison] = {}
        self._runs: list[ScenarioRun] = []
        self.timed_out = False
        """Whether the last scenario did not end in time."""

    def add_scenario(self, name: str, results: Sequence[RankResult], *, may_raise: bool) -> None:
        """Add what all ranks found in a scenario; the worst rank counts for each tensor.

        Args:
            may_raise: whether the plan may reject the scenario's inputs with an error of planc.
        """
        failed = [result for result in results if result.error is not None]
        if failed:
            cause = _root_cause(failed)
            self.timed_out = cause.lost == "timed out"
            is_allowed = may_raise and all(result.lost or _is_planc_error(result) for result in failed)
            self._runs.append(ScenarioRun(name, cause.error, is_allowed))
            return
        self._runs.append(ScenarioRun(name))
        for result in results:
            for comparison in result.value:
                key = (comparison.kind, comparison.name, comparison.scenario)
                if key not in self._worst or comparison.error > self._worst[key].error:
                    self._worst[key] = comparison

    def build(self) -> VerifyResult:
        """The result of the scenarios: `right` if every tensor is, and none failed."""
        comparisons = self._sorted_comparisons()
        failures = tuple(
            f"{run.scenario}: {run.error}" for run in self._runs if run.error and not run.is_allowed
        )
        is_right = comparisons and not failures and all(one.is_right for one in comparisons)
        return self._result("right" if is_right else "wrong", comparisons, failures)

    def build_unapplied(self) -> VerifyResult:
        """The result of a plan that cannot be applied."""
        verdict: NumericVerdict = "wrong" if self._plan.result.is_refuted else "unjudged"
        return self._result(verdict, (), self._plan.reasons)

    def _result(
        self, verdict: NumericVerdict, comparisons: tuple[TensorComparison, ...], reasons: tuple[str, ...]
    ) -> VerifyResult:
        findings = tuple(
            f"{diagnostic.law.code} {diagnostic.headline}"
            for diagnostic in self._plan.result.diagnostics
            if diagnostic.is_error or diagnostic.law.name == "not-proved"
        )
        return VerifyResult(*self._header, verdict, comparisons, tuple(self._runs), reasons, findings)

    def _sorted_comparisons(self) -> tuple[TensorComparison, ...]:
        """Each with the rule that governs it, the worst first."""
        comparisons = list(self._worst.values())
        if self._plan.result.binding is not None:
            rules = RuleIndex(self._plan.result.binding)
            comparisons = [one.with_(rule=rules.rule_for(one)) for one in comparisons]
        return tuple(sorted(comparisons, key=lambda one: -one.error))


def _root_cause(failed: Sequence[RankResult]) -> RankResult:
    """The rank that failed first. The others were waiting for it: gloo reports a lost connection, or
    they did not end in time."""
    raised = [result for result in failed if not result.lost and "gloo" not in str(result.error)]
    died = [result for result in failed if result.lost == "died"]
    timed_out = [result for result in failed if result.lost == "timed out"]
    return (raised or died or timed_out or list(failed))[0]


def _is_planc_error(result: RankResult) -> bool:
    """Whether planc itself rejected the inputs, and names what it needs."""
    return result.error is not None and result.error.startswith(_PLANC_ERRORS)
