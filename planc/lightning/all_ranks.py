"""A fault on one rank stops all of them, with one report."""

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
    """A plan that cannot be applied. All ranks raise it, and rank 0 has printed the report: where
    nobody catches it, the process ends with status 1 and says no more."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        super().__init__(diagnostics, reasons)
        self.code = 1


class _Failure:
    """What kept a rank from going on, in a form that other ranks can be told."""

    def __init__(self, reasons: tuple[str, ...], diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        self.reasons, self.diagnostics = reasons, diagnostics

    @property
    def text(self) -> str:
        # Once each: the reader says the same of a line that it has tried in two ways.
        said = dict.fromkeys(
            (*(f"planc: {reason}" for reason in self.reasons), *map(render_diagnostic, self.diagnostics))
        )
        return "\n".join(said)


def run_on_all_ranks(function: Callable[[], T], outcome: str = "nothing was changed") -> T:
    """Do what all ranks do; return if all of them could.

    Args:
        work: what this rank does.
        state: what the report says of the model, if one could not.

    Raises:
        PlanStop: one of them could not. Rank 0 has printed why, once.
    """
    done, said, raised = None, None, None
    try:
        done = function()
    except Exception as bad:  # noqa: BLE001  # whatever it is, no rank may wait for this one
        said = _planc_failure(bad)
        raised = bad if said is None else None
        said = said or _Failure((f"{type(bad).__name__}: {bad}",))
    texts = _gather_texts(None if said is None else said.text)
    if raised is not None:
        raise raised
    if not any(texts):
        return done  # type: ignore[return-value]  # it was set: this rank, too, said nothing
    if _rank() == 0:
        print(_report_text(texts, outcome), file=sys.stderr, flush=True)
    if dist.is_initialized():
        dist.barrier()  # no launcher sees a process end before the report is out
    said = said or _Failure(("another rank could not go on",))
    raise PlanAbort(said.diagnostics, said.reasons)


def _planc_failure(bad: Exception) -> _Failure | None:
    """What planc says of a plan, a model or weights; None: an exception of something else."""
    if isinstance(bad, NotApplicable | PlanError):
        return _Failure(bad.reasons, bad.diagnostics)
    if isinstance(bad, ModelFault):
        return _Failure((), (bad.diagnostic,))
    if isinstance(bad, WeightsError | PlanFileError):
        return _Failure((str(bad),))
    return None


def _report_text(texts: list[str | None], state: str) -> str:
    """What the ranks said: once where they agree."""
    ranks: dict[str, list[int]] = {}
    for rank, text in enumerate(texts):
        if text is not None:
            ranks.setdefault(text, []).append(rank)
    parts = []
    for text, who in ranks.items():
        if len(who) < len(texts):
            parts.append(f"planc: on rank {', '.join(map(str, who))} alone:")
        parts.append(text)
    return "\n".join((*parts, f"planc: {state}; all {len(texts)} ranks stop"))


def _gather_texts(text: str | None) -> list[str | None]:
    if not dist.is_initialized():
        return [text]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, text)
    return found


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0
