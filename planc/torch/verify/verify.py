"""Whether a plan is right, by numbers: the one entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.settled import Settings
from planc.ir.verified import Kind, Ran, Row, Verified
from planc.torch.verify.applied import Told, told
from planc.torch.verify.governs import Rules
from planc.torch.verify.ranks import Answer, Ranks
from planc.torch.verify.subject import Subject
from planc.torch.verify.work import Task, runs_of, work

STEPS = 3
TIMEOUT = 120.0

Progress = Callable[[int, int, str], None]
"""Is told how many runs are done, of how many, and which is next."""


def verify(
    document: Document,
    reference: str,
    graph: ModelGraph,
    settings: Settings,
    *,
    subject: Subject,
    ranks: Ranks | None = None,
    runs: Sequence[str] | None = None,
    steps: int = STEPS,
    seed: int = 0,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Verified:
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
    said = told(document, settings, graph)
    sizes = tuple((axis.name, axis.size or 1) for axis in said.result.settled.axes)
    found = Found(document, reference, dict(sizes), seed, said)
    if said.lowered is None:
        return found.done("wrong" if said.result.is_refuted else "unjudged", reasons=said.reasons)
    task = Task(reference, said.lowered, sizes, said.split, (), steps, seed)
    tried = [run for run in runs_of(subject, task) if runs is None or run.name in runs]
    group = ranks or processes()
    try:
        for number, run in enumerate(tried):
            if progress is not None:
                progress(number, len(tried), run.name)
            one = Task(reference, said.lowered, sizes, said.split, (run.name,), 0 if number else steps, seed)
            found.add(run.name, run.may_refuse, group.ask(math.prod(size for _, size in sizes), one, timeout))
            if found.has_hung:
                break  # the next one would most likely be waited for in vain, too
    finally:
        if ranks is None:
            group.close()
    if progress is not None:
        progress(len(tried), len(tried), "")
    return found.done()


def begin() -> None:
    """Keep this process fit to be forked: without threads of torch's own."""
    torch.set_num_threads(1)


def processes() -> Ranks:
    """Processes for `verify`: forked from this one, which must not have run a backward pass, when they are
    first needed."""
    return Ranks(work)


class Found:
    """What is found, one run after another."""

    def __init__(
        self, document: Document, reference: str, sizes: dict[str, int], seed: int, said: Told
    ) -> None:
        self._said = said
        self._what = (document.source.name, reference, sizes, seed)
        self._rows: dict[tuple[Kind, str, str], Row] = {}
        self._ran: list[Ran] = []
        self._rules: Rules | None = None

    def add(self, run: str, may_refuse: bool, answers: Sequence[Answer]) -> None:
        """What all ranks say of a run; of each tensor the rank that is worst off counts."""
        raised = [one for one in answers if one.raised is not None]
        if raised:
            first = _cause(raised)
            is_refused = may_refuse and all(one.silent or _is_clear(one) for one in raised)
            self._ran.append(Ran(run, first.raised, is_refused))
            return
        self._ran.append(Ran(run))
        for answer in answers:
            for row in answer.found:
                key = (row.kind, row.name, row.run)
                if key not in self._rows or row.error > self._rows[key].error:
                    self._rows[key] = row

    @property
    def has_hung(self) -> bool:
        return bool(self._ran) and str(self._ran[-1].raised).startswith("no end")

    def _governed(self, row: Row) -> Row:
        binding = self._said.result.binding
        if self._rules is None and binding is not None:
            self._rules = Rules(binding)
        rule = None if self._rules is None else self._rules.of(row)
        return Row(row.kind, row.name, row.run, row.error, row.note, rule, row.limit)

    def done(self, verdict: Any = None, reasons: tuple[str, ...] = ()) -> Verified:
        rows = tuple(sorted(map(self._governed, self._rows.values()), key=lambda row: -row.error))
        failed = tuple(f"{ran.run}: {ran.raised}" for ran in self._ran if ran.raised and not ran.refused)
        if verdict is None:
            verdict = "right" if rows and not failed and all(row.ok for row in rows) else "wrong"
        faults = self._said.result.diagnostics
        refuted = tuple(
            f"{f.law.code} {f.headline}" for f in faults if f.is_error or f.law.name == "not-proved"
        )
        return Verified(*self._what, verdict, rows, tuple(self._ran), (*reasons, *failed), refuted)


def _cause(raised: Sequence[Answer]) -> Answer:
    """What is to be said of ranks that raised: those that wait for another one say nothing of their own, but that
    the line to it was lost, or that it does not come."""
    own = [one for one in raised if not one.silent and "gloo" not in str(one.raised)]
    died = [one for one in raised if one.silent and "died" in str(one.raised)]
    return (own or died or [one for one in raised if one.silent] or list(raised))[0]


def _is_clear(answer: Answer) -> bool:
    """Whether what was raised says what was got and what is needed."""
    return answer.raised is not None and answer.raised.startswith("ValueError: planc: ")
