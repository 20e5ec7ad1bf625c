"""Processes that run cases together, over gloo on this machine.

`Ranks` is the side of those who ask: a command goes to every rank as a line of JSON, and what each of them
found comes back. Behind all of them is one process that has loaded the libraries and forks groups of ranks: on
the first question, and anew where a case has raised or did not end.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import itertools
import json
import logging
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, ClassVar

from tests.forks import RankGroup, join_process_group, preload

ROOT = Path(__file__).parents[3]
TIMEOUT = 240
"""Seconds that a case may take."""
USES = 12
"""Cases of one group: each leaves threads behind, some for every process group that it made."""


class Ranks:
    """A group of processes."""

    _numbers: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self, count: int) -> None:
        self.count = count
        self._number = next(self._numbers)

    def ask(self, case: str, **given: Any) -> list[Any]:
        """What each rank returns from a function of this folder, named `file:function`, or from one
        of another folder of tests, named `folder.file:function`.

        Raises:
            AssertionError: a rank has raised, or they did not end.
        """
        told = {"group": self._number, "count": self.count, "case": case, "given": given}
        found = WARM.answer(told, TIMEOUT + 60)
        raised = [f"rank {rank}: {said['raised']}" for rank, said in enumerate(found) if "raised" in said]
        if raised:
            raise AssertionError(f"{case} {given}:\n" + "\n".join(raised))
        return [said["found"] for said in found]

    def close(self) -> None:
        """End the processes; the next question has new ones."""
        WARM.tell({"group": self._number})


class Warm:
    """The process that forks groups: started by the first question, and again where it did not answer."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def tell(self, command: dict[str, Any]) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()

    def answer(self, command: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        if self._process is None:
            self._process = _started()
            atexit.register(self.close)
        self.tell(command)
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], seconds)[0]
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
            raise AssertionError(f"{command['case']}: {'the processes have ended' if ready else 'no answer'}")
        found: list[dict[str, Any]] = json.loads(line)
        return found

    def close(self) -> None:
        """End all processes."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process = None


WARM = Warm()
"""That of this run of tests: all files share it, since it costs seconds to start."""


def _started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.torch.apply.rank_server"], cwd=ROOT, start_new_session=True,
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "TORCH_COMPILE_DISABLE": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _begin(rank: int, count: int, meeting: str) -> None:
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    join_process_group(rank, count, meeting)


def _file(case: str) -> str:
    """The module of a case."""
    file = case.partition(":")[0]
    folder, _, name = f"apply.{file}".rpartition(".") if "." not in file else file.rpartition(".")
    return f"tests.torch.{folder}.ranks.{name}"


def _said(command: dict[str, Any]) -> dict[str, Any]:
    try:
        file, name = _file(command["case"]), command["case"].partition(":")[2]
        found = getattr(importlib.import_module(file), name)(**command["given"])
        json.dumps(found)
    except Exception:  # noqa: BLE001  # what a case raises is told to those who asked
        return {"raised": traceback.format_exc()}
    return {"found": found}


def main() -> None:
    """Fork groups, and pass on what is asked."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    preload()
    groups: dict[int, RankGroup] = {}
    for text in sys.stdin:
        command = json.loads(text)
        number = command["group"]
        if "case" not in command:
            if number in groups:
                groups.pop(number).close()
            continue
        if number not in groups:
            preload(_file(command["case"]))
            groups[number] = RankGroup(command["count"], _begin, _said)
        said = groups[number].run(command, TIMEOUT)
        if groups[number].uses == USES or any("raised" in one for one in said):
            groups.pop(number).close()
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
