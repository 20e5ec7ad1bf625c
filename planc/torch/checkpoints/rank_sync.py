"""What ranks tell each other while a checkpoint is written or read. Alone, they need no process group."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch.distributed as dist

from planc.ir.errors import WeightsError
from planc.ir.record import Record

T = TypeVar("T")


class _RankZeroError(Record):
    """What went wrong on the first rank."""

    error: BaseException


def is_multi_rank() -> bool:
    """Whether there are other ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_rank_zero() -> bool:
    """Whether this is the rank that speaks for all."""
    return not is_multi_rank() or dist.get_rank() == 0


def run_on_rank_zero(function: Callable[[], T], group: Any = None) -> T:
    """Have the first rank do something, and tell all what came of it: a value, or what it raised."""
    if not is_multi_rank():
        return function()
    said: list[Any] = [None]
    if dist.get_rank() == 0:
        try:
            said = [function()]
        except Exception as fault:  # noqa: BLE001  # it is raised again, on every rank
            said = [_RankZeroError(_picklable(fault))]
    dist.broadcast_object_list(said, src=0, group=group)
    if isinstance(said[0], _RankZeroError):
        raise said[0].error
    found: T = said[0]
    return found


def _picklable(fault: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(fault))  # noqa: S301  # what has been pickled just now
    except Exception:  # noqa: BLE001  # whatever an exception of others does when it is pickled
        return RuntimeError(f"{type(fault).__name__}: {fault}")
    return fault


def gather_lines(lines: Iterable[str], group: Any = None) -> list[str]:
    """The lines of all ranks, each once, in order of the ranks."""
    own = list(lines)
    if not is_multi_rank():
        return own
    every: list[list[str]] = [[] for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(every, own, group=group)
    return list(dict.fromkeys(line for rank in every for line in rank))


def sync_errors(function: Callable[[], T]) -> T:
    """Do something on every rank; where a rank fails, all of them do, and none waits for it.

    Raises:
        WeightsError: another rank has failed; a rank that has failed itself raises its own fault.
    """
    if not is_multi_rank():
        return function()
    fault: Exception | None = None
    try:
        found = function()
    except Exception as bad:  # noqa: BLE001  # it is raised again, after the others know
        fault = bad
    said = gather_lines([] if fault is None else [f"rank {dist.get_rank()}: {type(fault).__name__}: {fault}"])
    if fault is not None:
        raise fault
    if said:
        raise WeightsError("another rank has failed:", said)
    return found
