"""Verify a plan by numbers: run the model split and unsplit on the processes of a pool, and compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from planc.ir.verify_result import VerifyResult
from planc.torch.verify.compare import VerifyTask, compare_on_rank, task_scenarios
from planc.torch.verify.lowering import VerifyPlan
from planc.torch.verify.model_under_test import ModelUnderTest
from planc.torch.verify.rank_pool import RankPool
from planc.torch.verify.result_builder import VerifyResultBuilder

DEFAULT_STEPS = 3
DEFAULT_TIMEOUT = 120.0

ProgressCallback = Callable[[int, int, str], None]
"""`(done, total, next)`: how many scenarios are done, of how many, and the name of the next one."""


def verify_plan(
    plan: VerifyPlan,
    reference: str,
    *,
    subject: ModelUnderTest,
    pool: RankPool | None = None,
    scenarios: Sequence[str] | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    inputs: Sequence[str] = (),
    timeout: float = DEFAULT_TIMEOUT,
    progress: ProgressCallback | None = None,
) -> VerifyResult:
    """Run a model split and unsplit, and compare every output, gradient and weight. Only what `parallelize` applies
    is taken from planc, not the proof.

    Args:
        plan: the plan, lowered on the graph of this very model.
        reference: the model, as `planc capture` takes it; every rank builds it.
        subject: the same model, for its inputs; it is not run.
        pool: processes from an earlier call, made by `make_rank_pool`; by default new ones.
        scenarios: names of those to run; None: all.
        steps: how many steps an optimizer makes in the first scenario.
        seed: of weights and data.
        inputs: inputs that the user has set, as `--input` takes them.
        timeout: seconds that one scenario may take.
        progress: called before each scenario, and at the end.
    """
    sizes = plan_axis_sizes(plan)
    builder = VerifyResultBuilder(plan, reference, dict(sizes), seed)
    if plan.lowered is None:
        return builder.build_unapplied()
    task = VerifyTask(reference, plan.lowered, sizes, plan.sharded_outputs, (), steps, seed, tuple(inputs))
    selected = [
        scenario
        for scenario in task_scenarios(subject, task)
        if scenarios is None or scenario.name in scenarios
    ]
    used_pool = pool or make_rank_pool()
    try:
        for number, scenario in enumerate(selected):
            if progress is not None:
                progress(number, len(selected), scenario.name)
            one = task.with_(scenarios=(scenario.name,), steps=0 if number else steps)
            results = used_pool.run(math.prod(size for _, size in sizes), one, timeout)
            builder.add_scenario(scenario.name, results, may_raise=scenario.may_raise)
            if builder.timed_out:
                break  # the next scenario would most likely time out, too
    finally:
        if pool is None:
            used_pool.close()
    if progress is not None:
        progress(len(selected), len(selected), "")
    return builder.build()


def report_unapplied(plan: VerifyPlan, reference: str, seed: int) -> VerifyResult:
    """The result for a plan that is not run, for the reasons that it has."""
    return VerifyResultBuilder(plan, reference, dict(plan_axis_sizes(plan)), seed).build_unapplied()


def plan_axis_sizes(plan: VerifyPlan) -> tuple[tuple[str, int], ...]:
    """The axes of a plan with their sizes, outermost first."""
    return tuple((axis.name, axis.size or 1) for axis in plan.result.resolved.axes)


def prepare_to_fork() -> None:
    """Keep torch from starting threads in this process: a process with threads must not be forked."""
    torch.set_num_threads(1)


def make_rank_pool() -> RankPool:
    """Processes for `verify_plan`. They are forked when they are first needed, from this process, which must not
    have run a backward pass by then."""
    return RankPool(compare_on_rank)
