"""Several workers at once, and their answers as they come."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.rank_pool import ROOT

Job = dict[str, Any]


class WorkerPool:
    """Processes that take a job each; their checkers do not see what breaks the laws of `blind`."""

    def __init__(
        self, count: int, *, ignored_laws: Sequence[str] = (), module: str = "tests.hunt.worker"
    ) -> None:
        """
        Args:
            count: of the workers.
            ignored_laws: the laws that their checkers do not see.
            module: the program that a worker runs.
        """
        self._workers = [_start_worker(module, ignored_laws) for _ in range(count)]

    def run(self, jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
        """What the workers say of every mutant of the jobs.

        Raises:
            RuntimeError: a worker has ended or raised: a fault of planc or of the hunt, not of a plan.
        """
        waiting = iter(jobs)
        with selectors.DefaultSelector() as ready:
            for worker in self._workers:
                if _assign_job(worker, waiting):
                    ready.register(worker.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
            while ready.get_map():
                for key, _ in ready.select():
                    line = key.data.stdout.readline()
                    if not line:
                        raise RuntimeError("a worker of the hunt has ended")
                    found = json.loads(line)
                    if "raised" in found:
                        raise RuntimeError(found["raised"])
                    if found:
                        yield found
                    elif not _assign_job(key.data, waiting):
                        ready.unregister(key.data.stdout)

    def close(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def _assign_job(worker: subprocess.Popen[bytes], waiting: Iterator[Job]) -> bool:
    job = next(waiting, None)
    if job is None:
        return False
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(job).encode() + b"\n")
    worker.stdin.flush()
    return True


def _start_worker(module: str, blind: Sequence[str]) -> subprocess.Popen[bytes]:
    # Unbuffered: a line that waits in a buffer is not seen by a selector.
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, *blind], cwd=ROOT, bufsize=0, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
