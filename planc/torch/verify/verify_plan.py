"""Whether a plan is right, by numbers: the one entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.resolved import Settings
from planc.ir.verify_result import ComparedKind, ScenarioRun, TensorComparison, VerifyResult
from planc.torch.verify.blame import RuleIndex
from planc.torch.verify.compare import VerifyTask, compare_on_rank, task_scenarios
from planc.torch.verify.lowering import VerifyPlan, lower_for_verify
from planc.torch.verify.model_under_test import ModelUnderTest
from planc.torch.verify.rank_pool import RankPool, RankResult

DEFAULT_STEPS = 3
DEFAULT_TIMEOUT = 120.0

ProgressCallback = Callable[[int, int, str], None]
"""Is told how many runs are done, of how many, and which is next."""


def verify_plan(
    document: Document,
    reference: str,
    graph: ModelGraph,
    settings: Settings,
    *,
    subject: ModelUnderTest,
    pool: RankPool | None = None,
    scenarios: Sequence[str] | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    timeout: float = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> VerifyResult:
    """Run a model unsplit and split, and compare. Nothing is taken from the proof but what `parallelize`
    applies.

    Args:
        document: the plan.
        reference: what every rank builds the model from.
        graph: the graph of this very model.
        settings: sizes of axes, and options.
        subject: the same model, for what it is called with; it is not run.
        ranks: processes from an earlier call, to be used again; made with `processes`.
        runs: names of those that are tried; None: all.
        steps: of an optimizer, after the first run.
        seed: of weights and data.
        timeout: seconds that one run may take.
    """
    said = lower_for_verify(document, settings, graph)
    sizes = tuple((axis.name, axis.size or 1) for axis in said.result.resolved.axes)
    found = VerifyResultBuilder(document, reference, dict(sizes), seed, said)
    if said.lowered is None:
        return found.build("wrong" if said.result.is_refuted else "unjudged", reasons=said.reasons)
    task = VerifyTask(reference, said.lowered, sizes, said.sharded_outputs, (), steps, seed)
    tried = [run for run in task_scenarios(subject, task) if scenarios is None or run.name in scenarios]
    group = pool or make_rank_pool()
    try:
        for number, run in enumerate(tried):
            if progress is not None:
                progress(number, len(tried), run.name)
            one = VerifyTask(
                reference,
                said.lowered,
                sizes,
                said.sharded_outputs,
                (run.name,),
                0 if number else steps,
                seed,
            )
            found.add_scenario(
                run.name, run.may_raise, group.run(math.prod(size for _, size in sizes), one, timeout)
            )
            if found.timed_out:
                break  # the next one would most likely be waited for in vain, too
    finally:
        if pool is None:
            group.close()
    if progress is not None:
        progress(len(tried), len(tried), "")
    return found.build()


def prepare_to_fork() -> None:
    """Keep this process fit to be forked: without threads of torch's own."""
    torch.set_num_threads(1)


def make_rank_pool() -> RankPool:
    """Processes for `verify`: forked from this one, which must not have run a backward pass, when they are
    first needed."""
    return RankPool(compare_on_rank)


class VerifyResultBuilder:
    """What is found, one run after another."""

    def __init__(
        self, document: Document, reference: str, sizes: dict[str, int], seed: int, said: VerifyPlan
    ) -> None:
        self._plan = said
        self._header = (document.source.name, reference, sizes, seed)
        self._rows: dict[tuple[ComparedKind, str, str], TensorComparison] = {}
        self._ran: list[ScenarioRun] = []
        self._rules: RuleIndex | None = None

    def add_scenario(self, run: str, may_refuse: bool, answers: Sequence[RankResult]) -> None:
        """What all ranks say of a run; of each tensor the rank that is worst off counts."""
        raised = [one for one in answers if one.error is not None]
        if raised:
            first = _root_cause(raised)
            is_refused = may_refuse and all(one.is_lost or _is_planc_error(one) for one in raised)
            self._ran.append(ScenarioRun(run, first.error, is_refused))
            return
        self._ran.append(ScenarioRun(run))
        for answer in answers:
            for row in answer.value:
                key = (row.kind, row.name, row.scenario)
                if key not in self._rows or row.error > self._rows[key].error:
                    self._rows[key] = row

    @property
    def timed_out(self) -> bool:
        return bool(self._ran) and str(self._ran[-1].error).startswith("no end")

    def _with_rule(self, row: TensorComparison) -> TensorComparison:
        binding = self._plan.result.binding
        if self._rules is None and binding is not None:
            self._rules = RuleIndex(binding)
        rule = None if self._rules is None else self._rules.rule_for(row)
        return TensorComparison(row.kind, row.name, row.scenario, row.error, row.note, rule, row.limit)

    def build(self, verdict: Any = None, reasons: tuple[str, ...] = ()) -> VerifyResult:
        rows = tuple(sorted(map(self._with_rule, self._rows.values()), key=lambda row: -row.error))
        failed = tuple(
            f"{ran.scenario}: {ran.error}" for ran in self._ran if ran.error and not ran.is_allowed
        )
        if verdict is None:
            verdict = "right" if rows and not failed and all(row.is_right for row in rows) else "wrong"
        faults = self._plan.result.diagnostics
        refuted = tuple(
            f"{f.law.code} {f.headline}" for f in faults if f.is_error or f.law.name == "not-proved"
        )
        return VerifyResult(*self._header, verdict, rows, tuple(self._ran), (*reasons, *failed), refuted)


def _root_cause(raised: Sequence[RankResult]) -> RankResult:
    """What is to be said of ranks that raised: those that wait for another one say nothing of their own, but that
    the line to it was lost, or that it does not come."""
    own = [one for one in raised if not one.is_lost and "gloo" not in str(one.error)]
    died = [one for one in raised if one.is_lost and "died" in str(one.error)]
    return (own or died or [one for one in raised if one.is_lost] or list(raised))[0]


def _is_planc_error(answer: RankResult) -> bool:
    """Whether what was raised says what was got and what is needed."""
    return answer.error is not None and answer.error.startswith("ValueError: planc: ")
