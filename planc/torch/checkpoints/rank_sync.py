"""How ranks agree while a checkpoint is written or read. A single process needs no process group."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch.distributed as dist

from planc.ir.errors import WeightsError
from planc.ir.record import Record

T = TypeVar("T")


class _RankZeroError(Record):
    """What rank 0 raised."""

    error: BaseException


def is_multi_rank() -> bool:
    """Whether there are other ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_rank_zero() -> bool:
    """Whether this is rank 0, or the only process."""
    return not is_multi_rank() or dist.get_rank() == 0


def run_on_rank_zero(function: Callable[[], T], group: Any = None) -> T:
    """Call a function on rank 0 alone. Every rank returns its value, or raises what it raised."""
    if not is_multi_rank():
        return function()
    sent: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            sent = [function()]
        except Exception as error:  # noqa: BLE001  # every rank raises it
            sent = [_RankZeroError(_picklable(error))]
    dist.broadcast_object_list(sent, src=0, group=group)
    if isinstance(sent[0], _RankZeroError):
        raise sent[0].error
    value: T = sent[0]
    return value


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # what has been pickled just now
    except Exception:  # noqa: BLE001  # the user's exception may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def gather_lines(lines: Iterable[str], group: Any = None) -> list[str]:
    """The lines of all ranks, each once, in the order of the ranks."""
    own = list(lines)
    if not is_multi_rank():
        return own
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(gathered, own, group=group)
    return list(dict.fromkeys(line for rank_lines in gathered for line in rank_lines))


def sync_errors(function: Callable[[], T]) -> T:
    """Call a function on every rank. Where one rank fails, all ranks raise, and none waits for it.

    Raises:
        WeightsError: another rank failed; a rank that failed itself raises its own error.
    """
    if not is_multi_rank():
        return function()
    error: Exception | None = None
    try:
        value = function()
    except Exception as own:  # noqa: BLE001  # it is raised after the other ranks know
        error = own
    lines = gather_lines(
        [] if error is None else [f"rank {dist.get_rank()}: {type(error).__name__}: {error}"]
    )
    if error is not None:
        raise error
    if lines:
        raise WeightsError("another rank has failed:", lines)
    return value
