"""Measures all rivals at one setting, in turns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from rivals.measure import Round, allocated_bytes, run_steps
from rivals.rival import Rival
from rivals.setting import Setting

T = TypeVar("T")
Build = Callable[[Setting], Rival]
WARMUP_STEPS = 3
"""Steps that are not timed: they compile, and fill caches. Their losses are compared, too."""


@dataclass(frozen=True)
class Batch:
    """The data of a contest: batches of `tokens` tokens on each data rank."""

    tokens: int
    data: Sequence[Tensor]


@dataclass(frozen=True)
class Measured:
    """All rounds of one rival with batches of one size."""

    static_bytes: int  # weights and moments of the optimizer
    warmup: Round
    rounds: tuple[Round, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses of all steps with this size."""
        return (*self.warmup.losses, *(loss for each in self.rounds for loss in each.losses))

    @property
    def peak(self) -> int:
        """The peak of bytes, as if the rival were alone in memory."""
        return self.static_bytes + max(each.peak for each in self.rounds)


@dataclass(frozen=True)
class Failure:
    """A rival raised, and takes no further part at this setting."""

    error: str


Outcome = Measured | Failure
AfterRounds = Callable[[str, Rival, Batch], None]
"""Called for each rival after its rounds with batches of one size."""


class Contest:
    """All rivals at one setting, in memory together; they take turns round by round.

    A rival that raises drops out. This handles errors that every rank raises, as for an unsupported
    operation; torch stops ranks that wait for one that raised alone.
    """

    def __init__(self, builds: Mapping[str, Build], setting: Setting) -> None:
        self.builds, self.setting = builds, setting
        self._rivals: dict[str, Rival] = {}
        self._static_bytes: dict[str, int] = {}
        self._failures: dict[str, Failure] = {}

    def measure(self, batch: Batch, rounds: int, steps: int, after: AfterRounds | None) -> dict[str, Outcome]:
        """The outcome of each rival with batches of one size."""
        warmups = {name: self._try(name, partial(self._warm_up, name, batch)) for name in self.builds}
        done: dict[str, list[Round]] = {name: [] for name in self.builds}
        for turn in range(rounds):
            numbers = range(WARMUP_STEPS + turn * steps, WARMUP_STEPS + (turn + 1) * steps)
            for name, own_rounds in done.items():
                each = self._try(name, partial(self._run, name, batch, numbers))
                own_rounds += [each] if each is not None else []
        for name in self.builds if after else ():
            self._try(name, partial(self._call, after, name, batch))
        return {name: self._outcome(name, warmups[name], done[name]) for name in self.builds}

    def _run(self, name: str, batch: Batch, numbers: range) -> Round:
        return run_steps(self._rivals[name], batch.data, numbers, self.setting.device)

    def _call(self, after: AfterRounds, name: str, batch: Batch) -> None:
        after(name, self._rivals[name], batch)

    def _warm_up(self, name: str, batch: Batch) -> Round:
        before = allocated_bytes(self.setting.device)
        if name not in self._rivals:
            self._rivals[name] = self.builds[name](self.setting)
        warmup = self._run(name, batch, range(WARMUP_STEPS))
        if untrained := self._rivals[name].untrained_params():
            raise RuntimeError(f"no gradient reaches {', '.join(untrained)}: less work than the others do")
        self._static_bytes.setdefault(name, allocated_bytes(self.setting.device) - before)
        return warmup

    def _try(self, name: str, work: Callable[[], T]) -> T | None:
        if name in self._failures:
            return None
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # it is reported as a row
            self._failures[name] = Failure(f"{type(error).__name__}: {error}")
        self._rivals.pop(name, None)
        gc.collect()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _outcome(self, name: str, warmup: Round | None, rounds: Sequence[Round]) -> Outcome:
        if name in self._failures or warmup is None:
            return self._failures[name]
        return Measured(self._static_bytes[name], warmup, tuple(rounds))


def measure_interleaved(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int,
    after: AfterRounds | None = None,
) -> Iterator[dict[str, Outcome]]:  # fmt: skip
    """Keep all rivals in memory, and let them take turns. Yields the outcomes for each size of batch."""
    contest = Contest(builds, setting)
    for batch in batches:
        yield contest.measure(batch, rounds, steps, after)
    del contest
    free_memory(setting.device)


def measure_isolated(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int,
    after: AfterRounds | None = None,
) -> Iterator[dict[str, Outcome]]:  # fmt: skip
    """Keep one rival in memory at a time, built anew in each round: for models that fit only once. Yields the
    outcomes for each size of batch at the end."""
    done: list[dict[str, list[Outcome]]] = [{name: [] for name in builds} for _ in batches]
    for turn in range(rounds):
        for name, build in builds.items():
            outcomes = measure_interleaved(
                {name: build}, setting, batches, 1, steps, after if turn == 0 else None
            )
            for size, outcome in zip(done, outcomes, strict=True):
                size[name].append(outcome[name])
    for size in done:
        yield {name: _merge_rounds(each) for name, each in size.items()}


def _merge_rounds(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of all rounds. Each began with the same weights, so the first one's losses are those of all."""
    measured = [each for each in outcomes if isinstance(each, Measured)]
    if len(measured) < len(outcomes):
        return next(each for each in outcomes if isinstance(each, Failure))
    first = measured[0]
    return Measured(first.static_bytes, first.warmup, tuple(each.rounds[0] for each in measured))


def free_memory(device: torch.device) -> None:
    """Free what deleted rivals used, including their compiled code."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
