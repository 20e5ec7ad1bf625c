"""Rivals at one setting, in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from rivals.measure import Round, run, used
from rivals.rival import Rival
from rivals.setting import Setting

T = TypeVar("T")
Build = Callable[[Setting], Rival]
WARM = 3
"""Steps before those that count: they compile, and fill what is filled once. Their losses count."""


@dataclass(frozen=True)
class Batch:
    """The data of a contest: batches of `tokens` on each data rank."""

    tokens: int
    data: Sequence[Tensor]


@dataclass(frozen=True)
class Found:
    """What one rival did in all rounds with batches of one size."""

    held: int  # bytes of weights and moments
    warm: Round
    rounds: tuple[Round, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """Of every step since it was built, or since the last size."""
        return (*self.warm.losses, *(loss for each in self.rounds for loss in each.losses))

    @property
    def peak(self) -> int:
        """The most bytes that it ever used, as if it were alone."""
        return self.held + max(each.peak for each in self.rounds)


@dataclass(frozen=True)
class Raised:
    """A rival that raised, and takes no further part at this setting."""

    why: str


Outcome = Found | Raised
Look = Callable[[str, Rival, Batch], None]
"""What is done with a rival after its rounds with batches of one size."""


class Contest:
    """All rivals at one setting: they are kept, and take turns round by round.

    Who raises leaves the others their turn. That does for what every rank raises, as an operation
    that does not exist; ranks that wait for one that raised alone are stopped by torch.
    """

    def __init__(self, builds: Mapping[str, Build], setting: Setting) -> None:
        self.builds, self.setting = builds, setting
        self._rivals: dict[str, Rival] = {}
        self._held: dict[str, int] = {}
        self._raised: dict[str, Raised] = {}

    def held(self, batch: Batch, rounds: int, steps: int, look: Look | None) -> dict[str, Outcome]:
        """What each found with batches of one size."""
        warm = {name: self._tried(name, partial(self._warm, name, batch)) for name in self.builds}
        done: dict[str, list[Round]] = {name: [] for name in self.builds}
        for turn in range(rounds):
            numbers = range(WARM + turn * steps, WARM + (turn + 1) * steps)
            for name, found in done.items():
                each = self._tried(name, partial(self._run, name, batch, numbers))
                found += [each] if each is not None else []
        for name in self.builds if look else ():
            self._tried(name, partial(self._look, name, batch, look))
        return {name: self._outcome(name, warm[name], done[name]) for name in self.builds}

    def _run(self, name: str, batch: Batch, numbers: range) -> Round:
        return run(self._rivals[name], batch.data, numbers, self.setting.device)

    def _look(self, name: str, batch: Batch, look: Look) -> None:
        look(name, self._rivals[name], batch)

    def _warm(self, name: str, batch: Batch) -> Round:
        before = used(self.setting.device)
        if name not in self._rivals:
            self._rivals[name] = self.builds[name](self.setting)
        warm = self._run(name, batch, range(WARM))
        if idle := self._rivals[name].idle():
            raise RuntimeError(f"no gradient reaches {', '.join(idle)}: less work than the others do")
        self._held.setdefault(name, used(self.setting.device) - before)
        return warm

    def _tried(self, name: str, work: Callable[[], T]) -> T | None:
        if name in self._raised:
            return None
        try:
            return work()
        except Exception as raised:  # noqa: BLE001  # it is reported as a row
            self._raised[name] = Raised(f"{type(raised).__name__}: {raised}")
        self._rivals.pop(name, None)
        gc.collect()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _outcome(self, name: str, warm: Round | None, rounds: Sequence[Round]) -> Outcome:
        if name in self._raised or warm is None:
            return self._raised[name]
        return Found(self._held[name], warm, tuple(rounds))


def together(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int,
    look: Look | None = None,
) -> Iterator[dict[str, Outcome]]:  # fmt: skip
    """What all rivals found, for each size of batch as soon as it is known."""
    contest = Contest(builds, setting)
    for batch in batches:
        yield contest.held(batch, rounds, steps, look)
    del contest
    freed(setting.device)


def apart(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int,
    look: Look | None = None,
) -> Iterator[dict[str, Outcome]]:  # fmt: skip
    """One rival is there at a time, and built anew in each round: for models that fit only once. What
    they found is known at the end."""
    done: list[dict[str, list[Outcome]]] = [{name: [] for name in builds} for _ in batches]
    for turn in range(rounds):
        for name, build in builds.items():
            alone = together({name: build}, setting, batches, 1, steps, look if turn == 0 else None)
            for size, found in zip(done, alone, strict=True):
                size[name].append(found[name])
    for size in done:
        yield {name: _joined(each) for name, each in size.items()}


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Each round began with the same weights, so the losses of the first stand for all."""
    found = [each for each in outcomes if isinstance(each, Found)]
    if len(found) < len(outcomes):
        return next(each for each in outcomes if isinstance(each, Raised))
    return Found(found[0].held, found[0].warm, tuple(each.rounds[0] for each in found))


def freed(device: torch.device) -> None:
    """Give back what rivals held that are gone, also their compiled code."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
