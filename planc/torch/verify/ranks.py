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

GRACE = 0.5
"""Seconds that the others are waited for once a rank has raised or died."""
_START = 60.0
"""Seconds that a group may take to meet."""

Work = Callable[[Any], Any]


class Answer(Record):
    """What one rank says of a task."""

    found: Any = None
    raised: str | None = None
    """What it raised, in one line."""
    trace: str = ""
    silent: bool = False
    """Whether it raised nothing, and did not end or died; others may have raised before."""


class Ranks:
    """A group of processes, forked when it is first asked."""

    def __init__(self, work: Work, *, uses: int = 200) -> None:
        """
        Args:
            work: what a rank does with a task; both are inherited or sent, so tasks are to be picklable.
            uses: tasks of one group, before it is made anew.
        """
        self._work, self._uses = work, uses
        self._group: _Group | None = None

    def ask(self, count: int, task: Any, timeout: float) -> list[Answer]:
        """What each of `count` ranks says, in their order.

        Args:
            timeout: seconds that it may take.
        """
        if self._group is not None and self._group.count != count:
            self.close()
        group = self._group = self._group or _Group(count, self._work)
        said = group.ask(task, timeout)
        if group.uses >= self._uses or any(one.raised is not None for one in said):
            self.close()
        return said

    def close(self) -> None:
        """End the processes."""
        if self._group is not None:
            self._group.close()
            self._group = None


class _Group:
    """Processes that have met, and the lines to them."""

    def __init__(self, count: int, work: Work) -> None:
        self.count, self.uses = count, 0
        self._folder = tempfile.TemporaryDirectory(prefix="planc-verify-")
        self._lines: list[Any] = []
        self._processes: list[int] = []
        sys.stdout.flush()
        sys.stderr.flush()
        for rank in range(count):
            here, there = multiprocessing.Pipe()
            child = _forked()
            if child == 0:
                for line in (here, *self._lines):
                    line.close()
                _serve(there, work, rank, count, Path(self._folder.name, "meeting"))
            there.close()
            self._lines.append(here)
            self._processes.append(child)
        self._has_met = False

    def ask(self, task: Any, timeout: float) -> list[Answer]:
        self.uses += 1
        if not self._has_met:
            met = self._heard(_START)
            if any(one.raised is not None for one in met):
                return met
            self._has_met = True
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.send(task)
        return self._heard(timeout)

    def _heard(self, timeout: float) -> list[Answer]:
        """The next answer of each rank."""
        end = time.monotonic() + timeout
        said = [Answer(raised=f"no end within {timeout:g} s", silent=True)] * self.count
        open_ = dict(enumerate(self._lines))
        while open_ and (left := end - time.monotonic()) > 0:
            ready = multiprocessing.connection.wait(list(open_.values()), left)
            for rank in [rank for rank, line in open_.items() if line in ready]:
                try:
                    said[rank] = open_.pop(rank).recv()
                except (EOFError, OSError):
                    said[rank] = Answer(raised="the process has died", silent=True)
                if said[rank].raised is not None:
                    end = min(end, time.monotonic() + GRACE)
        return said

    def close(self) -> None:
        for child in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for line in self._lines:
            line.close()
        self._folder.cleanup()


def _forked() -> int:
    with warnings.catch_warnings():
        # Threads of this process, if there are any, draw progress: they hold no lock of torch's.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _serve(line: Any, work: Work, rank: int, count: int, meeting: Path) -> NoReturn:
    """A rank's life: it ends with the process that asks."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asks ends its ranks
        _meet(rank, count, meeting)
        line.send(Answer())
        while True:
            line.send(_said(work, line.recv()))
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _meet(rank: int, count: int, meeting: Path) -> None:
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
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=_START),
    )


def _said(work: Work, task: Any) -> Answer:
    try:
        return Answer(work(task))
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # a wrong plan may raise anything
        text = str(raised).strip().partition("\n")[0]
        return Answer(raised=f"{type(raised).__name__}: {text}"[:300], trace=traceback.format_exc())
