"""A pool of processes on one machine that run tasks together, in a process group of gloo.

They are forked from this process, so that libraries and models are loaded once, and kept for the next task with as
many ranks. Where one raises, dies or times out, all of them end, since the others may wait for it.
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
from typing import Any, Literal, NoReturn

from planc.ir.record import Record

GRACE_SECONDS = 0.5
"""How long to wait for the other ranks once one has raised or died."""
_STARTUP_SECONDS = 60.0
"""How long the ranks may take to initialize their process group."""

RankFunction = Callable[[Any], Any]


class RankResult(Record):
    """What one rank returned from a task, or how it failed."""

    value: Any = None
    error: str | None = None
    """The exception in one line, or how the rank was lost."""
    traceback: str = ""
    lost: Literal["died", "timed out"] | None = None
    """How the rank ended without a result; another rank may be the cause."""


class RankPool:
    """Processes that are forked for the first task."""

    def __init__(self, function: RankFunction, *, max_tasks: int = 200) -> None:
        """
        Args:
            function: what a rank does with a task. Tasks and results are pickled.
            max_tasks: how many tasks a group of processes runs before it is replaced.
        """
        self._function, self._max_tasks = function, max_tasks
        self._group: _WorkerGroup | None = None

    def run(self, count: int, task: Any, timeout: float) -> list[RankResult]:
        """Run a task on `count` ranks, and return their results in order.

        Args:
            timeout: seconds that the task may take.
        """
        if self._group is not None and self._group.count != count:
            self.close()
        group = self._group = self._group or _WorkerGroup(count, self._function)
        results = group.run(task, timeout)
        if group.tasks_sent >= self._max_tasks or any(result.error is not None for result in results):
            self.close()
        return results

    def close(self) -> None:
        """End the processes."""
        if self._group is not None:
            self._group.close()
            self._group = None


class _WorkerGroup:
    """Processes of one process group, and the pipes to them."""

    def __init__(self, count: int, function: RankFunction) -> None:
        self.count, self.tasks_sent = count, 0
        self._folder = tempfile.TemporaryDirectory(prefix="planc-verify-")
        self._pipes: list[Any] = []
        self._processes: list[int] = []
        self._is_connected = False
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(count):
            parent_end, child_end = multiprocessing.Pipe()
            child = _fork()
            if child == 0:
                for pipe in (parent_end, *self._pipes):
                    pipe.close()
                _rank_main(child_end, function, rank, count, Path(self._folder.name, "rendezvous"))
            child_end.close()
            self._pipes.append(parent_end)
            self._processes.append(child)

    def run(self, task: Any, timeout: float) -> list[RankResult]:
        self.tasks_sent += 1
        if not self._is_connected:
            connected = self._receive(_STARTUP_SECONDS)
            if any(result.error is not None for result in connected):
                return connected
            self._is_connected = True
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(task)
        return self._receive(timeout)

    def _receive(self, timeout: float) -> list[RankResult]:
        """The next result of each rank."""
        deadline = time.monotonic() + timeout
        late = RankResult(error=f"did not end within {timeout:g} s", lost="timed out")
        results = [late] * self.count
        pending = dict(enumerate(self._pipes))
        while pending and (left := deadline - time.monotonic()) > 0:
            ready = multiprocessing.connection.wait(list(pending.values()), left)
            for rank in [rank for rank, pipe in pending.items() if pipe in ready]:
                try:
                    results[rank] = pending.pop(rank).recv()
                except (EOFError, OSError):
                    results[rank] = RankResult(error="the process has died", lost="died")
                if results[rank].error is not None:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        return results

    def close(self) -> None:
        for child in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for pipe in self._pipes:
            pipe.close()
        self._folder.cleanup()


def _fork() -> int:
    with warnings.catch_warnings():
        # Python warns about threads of this process. Those that exist draw progress, and hold no lock of torch's.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _rank_main(pipe: Any, function: RankFunction, rank: int, count: int, rendezvous: Path) -> NoReturn:
    """Run tasks until the parent process closes the pipe or ends."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its ranks
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
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # what a model prints is not part of the report
    os.dup2(null, 2)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # A file instead of a port, which another process may take.
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
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a wrong plan may raise anything
        text = str(error).strip().partition("\n")[0]
        return RankResult(error=f"{type(error).__name__}: {text}"[:300], traceback=traceback.format_exc())
