"""The verdict on a plan, and the checks that planc could not make.

Every report lists the skipped checks: a plan is proved only if none of them matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from planc.checks.two_rules import MAX_SPELLED_NAMES, count_spelled_names
from planc.ir.diagnostic import Diagnostic, SkippedCheck
from planc.ir.laws import law_by_code
from planc.ir.resolved import Resolved, Settings

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph
    from planc.proof.result import Proof

MODEL_CHECKS = (
    "every pattern matches a module",
    "no module has two rules",
    "every style fits the class of its modules",
    "ranks share dims evenly, and no head is split",
    "every parameter belongs to an FSDP unit",
    "layouts of values and gradients",
)
"""The checks that need a model."""

BASE_PLAN_LAWS = ("N102", "N103", "N104", "N107", "M201", "M205", "R302", "R307")
"""Laws on names that a base plan may declare, those of axes among them."""


def lacks_base_plan(resolved: Resolved) -> bool:
    """Whether planc could not read a base plan."""
    return resolved.documents[-1].plan.extends is not None


def verdict(diagnostics: Sequence[Diagnostic], skipped: Sequence[SkippedCheck], proof: Proof | None) -> str:
    """`refuted`, `proved`, `unproved` or `checked`: see `Result.verdict`."""
    if any(diagnostic.is_error for diagnostic in diagnostics):
        return "refuted"
    if proof is None:
        return "checked"
    # The proof holds for every size of an axis that only splits the batch.
    open_checks = [check for check in skipped if check.axis is None or check.axis in proof.unsized_axes]
    is_open = bool(open_checks) or any(diagnostic.law.name == "not-proved" for diagnostic in diagnostics)
    return "unproved" if is_open else "proved"


def skipped_checks(
    resolved: Resolved, settings: Settings, proof: Proof | None, graph: ModelGraph | None
) -> tuple[SkippedCheck, ...]:
    """The checks of a plan that planc did not make, each once."""
    skipped = [
        *resolved.skipped,
        *_without_model(resolved, proof, graph),
        *_without_proof(proof),
        *_without_base_plan(resolved),
        *_undecided(resolved, settings),
    ]
    return tuple(dict.fromkeys(skipped))


def _without_model(
    resolved: Resolved, proof: Proof | None, graph: ModelGraph | None
) -> Iterator[SkippedCheck]:
    if graph is None and resolved.blocks:
        yield from (SkippedCheck(check, "no model is given") for check in MODEL_CHECKS)
    elif graph is not None and proof is None:
        yield SkippedCheck(MODEL_CHECKS[-1], "the errors above come first")


def _without_proof(proof: Proof | None) -> Iterator[SkippedCheck]:
    if proof is None:
        return
    tensor = [axis.axis for axis in proof.axes if axis.splits_tensors]
    if len(tensor) > 1:
        yield SkippedCheck(f"layouts on the axes {' and '.join(tensor)} together", "each is proved by itself")
    for axis in proof.unsized_axes:
        yield SkippedCheck(f"layouts on axis '{axis}'", "it has no size")
    for reason in proof.compiled_sizes:
        yield SkippedCheck("the sizes that compiled code reads", reason)
    for axis in proof.unsupported_axes:
        yield SkippedCheck(f"layouts on axis '{axis}'", "planc cannot prove an axis of this kind yet")


def _without_base_plan(resolved: Resolved) -> Iterator[SkippedCheck]:
    if lacks_base_plan(resolved):
        for code in BASE_PLAN_LAWS:
            yield SkippedCheck(law_by_code(code).name.replace("-", " "), "the plan to extend cannot be read")


def _undecided(resolved: Resolved, settings: Settings) -> Iterator[SkippedCheck]:
    """What depends on values that nobody has given, or would take too long."""
    for block in resolved.blocks:
        for entry in block.entries:
            if entry.value.when is not None:
                yield SkippedCheck(f"when {entry.value.when}", "needs values that are not known")
        if count_spelled_names(block) > MAX_SPELLED_NAMES:
            reason = f"its patterns spell out more than {MAX_SPELLED_NAMES:,} names"
            yield SkippedCheck(f"two rules of block '{block.kind}' for one module", reason)
        if block.splits_tensors and settings.gpus_per_node and None in (a.size for a in resolved.axes):
            yield SkippedCheck("tensor parallelism across nodes", "needs the size of every axis")
    for name, layout in resolved.layouts.items():
        if layout is None and not resolved.diagnostics:
            yield SkippedCheck(f"layout {name}", "its condition needs values that are not known")
