"""Ranks for tests: functions run on processes that are forked from one warm process, which all workers of pytest share.

    run_on_ranks(4, "torch.apply.recompute:llama_step", mode="full")    # of tests/torch/apply/ranks/recompute.py

A function gets what JSON can hold, and returns such values.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SECONDS = 240
"""That a case may take."""
MAX_USES = 12
"""Cases that run in one group of ranks."""
FOLDER, OWNER = "PLANC_TEST_FOLDER", "PLANC_TEST_OWNER"
"""Variables: the folder of this run of tests, and the process that began it."""
SET_BY_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
LAUNCHERS = ("SLURM_", "TORCHELASTIC_", "OMPI_", "LSB_", "KUBERNETES_")
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}


class ProcessesEnded(AssertionError):
    """A process ended, or did not answer in time."""


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without what a launcher around them says of its own processes."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in SET_BY_LAUNCHERS and not name.startswith(LAUNCHERS)
    } | more


def run_folder() -> Path:
    """A folder that lives as long as this run of tests; all of its processes share it."""
    os.environ.setdefault(OWNER, str(os.getpid()))
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="planc-tests-")
        atexit.register(end_processes)
    return Path(os.environ[FOLDER])


class RankPool:
    """The line to the warm process, which the first question of a run of tests starts."""

    def __init__(self) -> None:
        self._line: multiprocessing.connection.Connection | None = None

    def run(
        self, count: int, case: str, /, *, fresh: bool = False, max_uses: int = MAX_USES, **kwargs: Any
    ) -> list[Any]:
        """What each of `count` ranks returns, in their order.

        Args:
            count: the number of ranks, which are the default process group, over gloo.
            case: a function of a file in a folder `ranks`: `torch.apply.fsdp:train_steps` of
                `tests/torch/apply/ranks/fsdp.py`. Those of `lightning` run as torchrun would start them.
            fresh: whether it needs processes that nothing ran in before.
            max_uses: how many cases may run in its group.
            kwargs: the arguments of the function.

        Raises:
            ProcessesEnded: a rank has ended or did not answer, whatever others raise for that.
            AssertionError: a rank has raised.
        """
        folder, _, name = case.rpartition(".")
        request = {"count": count, "launched": folder == "lightning", "fresh": fresh, "max_uses": max_uses}
        answers = self._ask(
            {**request, "function": f"tests.{folder}.ranks.{name}", "kwargs": kwargs}, SECONDS
        )
        return self._values(f"{case} {kwargs}", answers)

    def call(self, function: str, /, *, seconds: float = SECONDS, **kwargs: Any) -> Any:
        """What a function, `module:name`, returns in a process of its own, which has the libraries loaded.

        Raises:
            ProcessesEnded: the process has ended or did not answer.
            AssertionError: the function has raised.
        """
        answers = self._ask({"function": function, "kwargs": kwargs}, seconds)
        return self._values(function, answers)[0]

    def _values(self, what: str, answers: list[dict[str, Any]]) -> list[Any]:
        raised = [one["raised"] for one in answers if "raised" in one]
        if raised:
            text = "\n".join(f"rank {i}: {one['raised']}" for i, one in enumerate(answers) if "raised" in one)
            is_lost = any(one.startswith(("the process has ended", "no end within")) for one in raised)
            raise (ProcessesEnded if is_lost else AssertionError)(f"{what}:\n{text}")
        return [one["value"] for one in answers]

    def _ask(self, request: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        line = self._line = self._line or _connect()
        line.send_bytes(json.dumps({**request, "seconds": seconds}).encode())
        if not line.poll(seconds + 60):
            self.close()
            raise ProcessesEnded(f"{request['function']}: no answer")
        try:
            found: list[dict[str, Any]] = json.loads(line.recv_bytes())
        except EOFError:
            self.close()
            raise ProcessesEnded(f"{request['function']}: the process that forks ranks has ended") from None
        return found

    def close(self) -> None:
        """End the processes of this line; the next question has new ones."""
        if self._line is not None:
            self._line.close()
            self._line = None


POOL = RankPool()
run_on_ranks = POOL.run
call_in_fork = POOL.call


def _connect() -> multiprocessing.connection.Connection:
    folder = run_folder()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the workers starts it, the others wait
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(folder / "socket"))
        except OSError:
            _start(folder)
            line.connect(str(folder / "socket"))
    return multiprocessing.connection.Connection(line.detach())


def _start(folder: Path) -> None:
    (folder / "socket").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.fork_server", str(folder), os.environ[OWNER]],
        cwd=ROOT, env=environment(**QUIET), start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (folder / "process").write_text(str(process.pid))
    while not (folder / "socket").exists():
        assert process.poll() is None, "the process that forks ranks has ended"
        time.sleep(0.05)
    process.returncode = 0  # others end it: nobody waits for it here


def end_processes() -> None:
    """End the warm process and all that it has forked."""
    folder = os.environ.get(FOLDER)
    if folder is not None:
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int(Path(folder, "process").read_text()), signal.SIGKILL)
