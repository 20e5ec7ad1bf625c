"""An error on one rank stops all ranks, with one report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from planc.api import PlanError
from planc.ir.diagnostic import Diagnostic, ModelFault
from planc.ir.errors import WeightsError
from planc.prepare_plan import NotApplicable
from planc.report.text import render_diagnostic
from planc.syntax.read_file import PlanFileError

T = TypeVar("T")


class PlanAbort(PlanError, SystemExit):
    """planc cannot apply the plan. All ranks raise this, and rank 0 has printed the report: where
    nobody catches it, the process ends with status 1 and prints nothing else."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(diagnostics, reasons)
        self.code = 1


class _Failure:
    """Why a rank could not go on, in a form that can be sent to other ranks."""

    def __init__(self, reasons: tuple[str, ...], diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        self.reasons, self.diagnostics = reasons, diagnostics

    @property
    def text(self) -> str:
        # Once each: the parser may report a line twice, for two ways to read it.
        lines = (
            *(f"planc: {reason}" for reason in self.reasons),
            *map(render_diagnostic, self.diagnostics),
        )
        return "\n".join(dict.fromkeys(lines))


def run_on_all_ranks(function: Callable[[], T], outcome: str = "nothing was changed") -> T:
    """Call a function on every rank, and return its value if no rank failed.

    Args:
        function: what this rank does; it must not wait for other ranks after it may have failed.
        outcome: the state of the model after a failure, for the report.

    Raises:
        PlanAbort: a rank failed with an error of planc, or another rank failed. Rank 0 has printed why, once.
        Exception: whatever else the function raised on this rank.
    """
    value, failure, raised = None, None, None
    try:
        value = function()
    except Exception as error:  # noqa: BLE001  # whatever it is, no rank may wait for this one
        failure = _planc_failure(error)
        raised = error if failure is None else None
        failure = failure or _Failure((f"{type(error).__name__}: {error}",))
    texts = _gather_texts(None if failure is None else failure.text)
    if raised is not None:
        raise raised
    if not any(texts):
        return value  # type: ignore[return-value]  # no rank failed, so this one has a value
    if _rank() == 0:
        print(_report_text(texts, outcome), file=sys.stderr, flush=True)
    if dist.is_initialized():
        dist.barrier()  # no launcher sees a process end before the report is printed
    failure = failure or _Failure(("another rank could not go on",))
    raise PlanAbort(failure.diagnostics, failure.reasons)


def _planc_failure(error: Exception) -> _Failure | None:
    """What planc reports about a plan, a model or weights; None: the exception comes from somewhere else."""
    if isinstance(error, NotApplicable | PlanError):
        return _Failure(error.reasons, error.diagnostics)
    if isinstance(error, ModelFault):
        return _Failure((), (error.diagnostic,))
    if isinstance(error, WeightsError | PlanFileError):
        return _Failure((str(error),))
    return None


def _report_text(texts: list[str | None], outcome: str) -> str:
    """The texts of all ranks, one after the other: once where ranks agree."""
    ranks_by_text: dict[str, list[int]] = {}
    for rank, text in enumerate(texts):
        if text is not None:
            ranks_by_text.setdefault(text, []).append(rank)
    lines = []
    for text, ranks in ranks_by_text.items():
        if len(ranks) < len(texts):
            lines.append(f"planc: on rank {', '.join(map(str, ranks))} alone:")
        lines.append(text)
    return "\n".join((*lines, f"planc: {outcome}; all {len(texts)} ranks stop"))


def _gather_texts(text: str | None) -> list[str | None]:
    if not dist.is_initialized():
        return [text]
    texts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(texts, text)
    return texts


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0
