"""Rivals at one setting, in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rivals.measure import Round, run, used
from rivals.rival import Rival
from rivals.setting import Setting

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


def together(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int
) -> list[dict[str, Found]]:
    """All rivals are kept, and take turns round by round. What they found, for each size of batch."""
    rivals: dict[str, Rival] = {}
    held: dict[str, int] = {}
    results = []
    for batch in batches:
        warm: dict[str, Round] = {}
        done: dict[str, list[Round]] = {name: [] for name in builds}
        for name, build in builds.items():
            before = used(setting.device)
            rival = rivals.get(name) or rivals.setdefault(name, build(setting))
            warm[name] = run(rival, batch.data, range(WARM), setting.device)
            held.setdefault(name, used(setting.device) - before)
        for turn in range(rounds):
            begin = WARM + turn * steps
            for name, rival in rivals.items():
                done[name].append(run(rival, batch.data, range(begin, begin + steps), setting.device))
        results.append({n: Found(held[n], warm[n], tuple(done[n])) for n in builds})
    rivals.clear()
    freed(setting.device)
    return results


def apart(
    builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], rounds: int, steps: int
) -> list[dict[str, Found]]:
    """One rival is there at a time, and built anew in each round: for models that fit only once."""
    done: list[dict[str, list[Found]]] = [{name: [] for name in builds} for _ in batches]
    for _ in range(rounds):
        for name, build in builds.items():
            alone = together({name: build}, setting, batches, 1, steps)
            for size, found in zip(done, alone, strict=True):
                size[name].append(found[name])
    # Each round began with the same weights, so the losses of the first stand for all.
    return [
        {n: Found(f[0].held, f[0].warm, tuple(each.rounds[0] for each in f)) for n, f in size.items()}
        for size in done
    ]


def freed(device: torch.device) -> None:
    """Give back what rivals held that are gone, also their compiled code."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
