"""Random numbers for sharded values: each rank draws its own.

Each process group has two streams: the common one, which is the same on all its ranks, and the
rank's own. A module that draws for sharded values switches to the rank's own stream; a module
inside of it that draws for replicated values switches back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.distributed import ProcessGroup

from planc.torch.apply.module_runtime import HookStep

RngState = tuple[torch.Tensor, torch.Tensor | None]
"""States of the generators of the CPU and of this rank's device."""


class _RngStreams:
    """The stream of a group that is in use, and the state of the other one."""

    def __init__(self) -> None:
        self.is_per_rank = False
        self.other: RngState | None = None


_STREAMS: dict[str, _RngStreams] = {}
"""By the names of groups."""
_COUNTED: WeakSet[RngScope] = WeakSet()
"""Scopes whose calls differ, so that their number matters."""


class RngScope(HookStep):
    """Switches to the stream that a module draws from, and back.

    The rank's stream is seeded from the common one, so that recomputing a region, which restores the
    state that it began with, draws the same numbers.
    """

    def __init__(self, group: ProcessGroup, per_rank_calls: tuple[bool, ...]) -> None:
        self.rank, self.per_rank_calls = group.rank(), per_rank_calls
        """Whether each call of the module in one forward pass draws for sharded values."""
        self.calls = 0
        """How often the module has been called in this pass."""
        self.is_counted = len(set(per_rank_calls)) > 1
        """Whether calls differ, so that their number matters."""
        if self.is_counted:
            _COUNTED.add(self)
        self._streams = _STREAMS.setdefault(group.group_name, _RngStreams())
        self._undo: list[Callable[[], None]] = []

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        is_per_rank = self.per_rank_calls[self.calls % len(self.per_rank_calls)]
        self.calls += 1
        if is_per_rank == self._streams.is_per_rank:
            self._undo.append(_keep_stream)
        elif self._streams.other is not None:
            self._swap_streams()
            self._undo.append(self._swap_streams)
        else:
            seed = int(torch.randint(2**31, ()).item())
            self._streams.other, self._streams.is_per_rank = _get_rng_state(), is_per_rank
            _manual_seed(seed + 1_000_003 * (self.rank + 1))
            self._undo.append(self._leave_per_rank)
        return args, kwargs

    def close(self) -> None:
        if self._undo:
            self._undo.pop()()

    def _swap_streams(self) -> None:
        current, other = _get_rng_state(), self._streams.other
        assert other is not None
        _set_rng_state(other)
        self._streams.other, self._streams.is_per_rank = current, not self._streams.is_per_rank

    def _leave_per_rank(self) -> None:
        self._swap_streams()
        self._streams.other = None


class RngPass(HookStep):
    """Counts calls anew with each call of the model: one that raised between two calls of a module leaves no trace. A
    module that is called on its own, outside of the model, counts on."""

    def __init__(self, scopes: Sequence[RngScope]) -> None:
        self.scopes = scopes
        self._depth = 0

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self._depth:
            for scope in self.scopes:
                scope.calls = 0
        self._depth += 1
        return args, kwargs

    def close(self) -> None:
        self._depth = max(self._depth - 1, 0)  # an outer step may have raised before


class StreamsAtFirstRun:
    """The streams of now, for code that runs a second time in the backward pass."""

    def __init__(self) -> None:
        self._streams, self._calls = _current_streams(), _current_calls()

    @property
    def are_default(self) -> bool:
        """Whether no module has streams of its own."""
        return not self._streams

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Begin with these streams, and go on afterwards with those of before. torch restores the generators."""
        streams, calls = _current_streams(), _current_calls()
        _restore(self._streams, self._calls)
        try:
            yield
        finally:
            _restore(streams, calls)


_Streams = dict[str, tuple[bool, RngState | None]]


def _current_streams() -> _Streams:
    return {name: (streams.is_per_rank, streams.other) for name, streams in _STREAMS.items()}


def _current_calls() -> dict[RngScope, int]:
    return {scope: scope.calls for scope in _COUNTED}


def _restore(streams: _Streams, calls: dict[RngScope, int]) -> None:
    for name, (is_per_rank, other) in streams.items():
        _STREAMS[name].is_per_rank, _STREAMS[name].other = is_per_rank, other
    for scope, count in calls.items():
        scope.calls = count


def _keep_stream() -> None:
    """The module draws from the stream that is in use."""


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _manual_seed(seed: int) -> None:
    """Seed the generators of the CPU and of CUDA. `torch.manual_seed` also asks every other kind of device,
    and keeps a stack trace for those that are missing: milliseconds, each time."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


def _get_rng_state() -> RngState:
    on_device = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return torch.get_rng_state(), on_device


def _set_rng_state(state: RngState) -> None:
    on_cpu, on_device = state
    torch.set_rng_state(on_cpu)
    if on_device is not None:
        torch.cuda.set_rng_state(on_device)
