"""Random numbers of values that ranks hold different slices of: each rank draws its own.

There are two streams of numbers: the common one, which is the same on all ranks of a group, and
the rank's own. A module that draws for split values switches to the rank's own, and a module
inside of it that draws for whole values switches back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributed import ProcessGroup

RngState = tuple[torch.Tensor, torch.Tensor | None]


class _RngStreams:
    """Which stream of a group is drawn from, and where the other one stands."""

    def __init__(self) -> None:
        self.apart = False
        self.other: RngState | None = None


_STREAMS: dict[str, _RngStreams] = {}
"""By the names of groups."""


class RngScope:
    """Switches to the stream that a module draws from, and back.

    The rank's own numbers follow from the common ones, so that recomputing a region, which goes
    back to the state it began with, draws the same again.
    """

    def __init__(self, group: ProcessGroup, per_rank_calls: tuple[bool, ...]) -> None:
        self.rank, self.apart = group.rank(), per_rank_calls
        """Whether each call of the module in one forward pass draws for split values."""
        self._streams = _STREAMS.setdefault(group.group_name, _RngStreams())
        self._calls = 0
        self._ends: list[Callable[[], None]] = []

    def enter(self) -> None:
        """From here on what this call of the module needs is drawn."""
        apart = self.apart[self._calls % len(self.apart)]
        self._calls += 1
        if apart == self._streams.apart:
            self._ends.append(_keep_stream)
        elif self._streams.other is not None:
            self._swap_streams()
            self._ends.append(self._swap_streams)
        else:
            seed = int(torch.randint(2**31, ()).item())
            self._streams.other, self._streams.apart = _get_rng_state(), apart
            _manual_seed(seed + 1_000_003 * (self.rank + 1))
            self._ends.append(self._leave_per_rank)

    def exit(self) -> None:
        """From here on it is drawn as before the call."""
        if self._ends:
            self._ends.pop()()

    def _swap_streams(self) -> None:
        here, other = _get_rng_state(), self._streams.other
        assert other is not None
        _set_rng_state(other)
        self._streams.other, self._streams.apart = here, not self._streams.apart

    def _leave_per_rank(self) -> None:
        self._swap_streams()
        self._streams.other = None


def preserve_rng_streams(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward that starts from the same streams as now when it is run again."""
    if not any(streams.other for streams in _STREAMS.values()):
        return forward
    known = {name: (streams.apart, streams.other) for name, streams in _STREAMS.items()}
    runs = 0

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            return forward(*args, **kwargs)
        now = {name: (streams.apart, streams.other) for name, streams in _STREAMS.items()}
        _restore_streams(known)
        try:
            return forward(*args, **kwargs)
        finally:
            _restore_streams(now)

    return run


def _restore_streams(streams: dict[str, tuple[bool, RngState | None]]) -> None:
    for name, (apart, other) in streams.items():
        _STREAMS[name].apart, _STREAMS[name].other = apart, other


def _keep_stream() -> None:
    """The stream stays the same."""


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _manual_seed(seed: int) -> None:
    """As `torch.manual_seed`, of the streams that are kept here alone. Torch's own also asks every kind of
    device there may be, and without one it puts a stack trace aside for later: milliseconds, each time."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


def _get_rng_state() -> RngState:
    on_device = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return torch.get_rng_state(), on_device


def _set_rng_state(state: RngState) -> None:
    common, on_device = state
    torch.set_rng_state(common)
    if on_device is not None:
        torch.cuda.set_rng_state(on_device)
