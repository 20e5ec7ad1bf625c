"""Processes of one machine that run a task together, over gloo.

They are forked from this process, so that libraries and models are loaded once, and kept for the next task of
their number. Where one has raised, died or come to no end, all of them end: they may wait for each other.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from planc.ir.record import Record

GRACE_SECONDS = 0.5
"""Seconds that the others are waited for once a rank has raised or died."""
_STARTUP_SECONDS = 60.0
"""Seconds that a group may take to meet."""

RankFunction = Callable[[Any], Any]


class RankResult(Record):
    """What one rank says of a task."""

    value: Any = None
    error: str | None = None
    """What it raised, in one line."""
    traceback: str = ""
    is_lost: bool = False
    """Whether it raised nothing, and did not end or died; others may have raised before."""


class RankPool:
    """A group of processes, forked when it is first asked."""

    def __init__(self, function: RankFunction, *, max_tasks: int = 200) -> None:
        """
        Args:
            work: what a rank does with a task; both are inherited or sent, so tasks are to be picklable.
            uses: tasks of one group, before it is made anew.
        """
        self._work, self._uses = function, max_tasks
        self._group: _WorkerGroup | None = None

    def run(self, count: int, task: Any, timeout: float) -> list[RankResult]:
        """What each of `count` ranks says, in their order.

        Args:
            timeout: seconds that it may take.
        """
        if self._group is not None and self._group.count != count:
            self.close()
        group = self._group = self._group or _WorkerGroup(count, self._work)
        said = group.run(task, timeout)
        if group.tasks_sent >= self._uses or any(one.error is not None for one in said):
            self.close()
        return said

    def close(self) -> None:
        """End the processes."""
        if self._group is not None:
            self._group.close()
            self._group = None


class _WorkerGroup:
    """Processes that have met, and the lines to them."""

    def __init__(self, count: int, work: RankFunction) -> None:
        self.count, self.tasks_sent = count, 0
        self._folder = tempfile.TemporaryDirectory(prefix="planc-verify-")
        self._pipes: list[Any] = []
        self._processes: list[int] = []
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(count):
            here, there = multiprocessing.Pipe()
            child = _fork()
            if child == 0:
                for line in (here, *self._pipes):
                    line.close()
                _rank_main(there, work, rank, count, Path(self._folder.name, "meeting"))
            there.close()
            self._pipes.append(here)
            self._processes.append(child)
        self._is_connected = False

    def run(self, task: Any, timeout: float) -> list[RankResult]:
        self.tasks_sent += 1
        if not self._is_connected:
            met = self._receive(_STARTUP_SECONDS)
            if any(one.error is not None for one in met):
                return met
            self._is_connected = True
        for line in self._pipes:
            with contextlib.suppress(OSError):
                line.send(task)
        return self._receive(timeout)

    def _receive(self, timeout: float) -> list[RankResult]:
        """The next answer of each rank."""
        end = time.monotonic() + timeout
        said = [RankResult(error=f"no end within {timeout:g} s", is_lost=True)] * self.count
        open_ = dict(enumerate(self._pipes))
        while open_ and (left := end - time.monotonic()) > 0:
            ready = multiprocessing.connection.wait(list(open_.values()), left)
            for rank in [rank for rank, line in open_.items() if line in ready]:
                try:
                    said[rank] = open_.pop(rank).recv()
                except (EOFError, OSError):
                    said[rank] = RankResult(error="the process has died", is_lost=True)
                if said[rank].error is not None:
                    end = min(end, time.monotonic() + GRACE_SECONDS)
        return said

    def close(self) -> None:
        for child in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for line in self._pipes:
            line.close()
        self._folder.cleanup()


def _fork() -> int:
    with warnings.catch_warnings():
        # Threads of this process, if there are any, draw progress: they hold no lock of torch's.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _rank_main(pipe: Any, function: RankFunction, rank: int, count: int, rendezvous: Path) -> NoReturn:
    """A rank's life: it ends with the process that asks."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks ends its ranks
        _connect(rank, count, rendezvous)
        pipe.send(RankResult())
        while True:
            pipe.send(_run_task(function, pipe.recv()))
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _connect(rank: int, count: int, rendezvous: Path) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what a model prints belongs to no report
    os.dup2(quiet, 2)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # A file is met at in place of a port, which others may take.
    dist.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=_STARTUP_SECONDS),
    )


def _run_task(function: RankFunction, task: Any) -> RankResult:
    try:
        return RankResult(function(task))
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # a wrong plan may raise anything
        text = str(raised).strip().partition("\n")[0]
        return RankResult(error=f"{type(raised).__name__}: {text}"[:300], traceback=traceback.format_exc())
