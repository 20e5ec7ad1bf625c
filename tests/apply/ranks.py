"""Processes that run cases together, over gloo on this machine.

`Ranks` is the side of those who ask: a command goes to every rank as a line of JSON, and what
each of them found comes back. They are started once, on first use, and again where a case did
not end. Only the first of the processes talks to those who ask.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import multiprocessing
import os
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 240


class Ranks:
    """A group of processes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._process: subprocess.Popen[str] | None = None

    def ask(self, case: str, **given: Any) -> list[Any]:
        """What each rank returns from a function of this folder, named `file:function`, or from one
        of another folder of tests, named `folder.file:function`.

        Raises:
            AssertionError: a rank has raised, or they did not end.
        """
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"case": case, "given": given}) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], TIMEOUT)[0]:
            self.close()
            raise AssertionError(f"{case}: no end within {TIMEOUT} seconds")
        line = process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(f"{case}: the processes have ended")
        found = json.loads(line)
        raised = [said["raised"] for said in found if "raised" in said]
        if raised:
            # Ranks that came apart may still wait for each other.
            self.close()
            raise AssertionError(f"{case} {given}:\n" + "\n".join(raised))
        return [said["found"] for said in found]

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.apply.ranks", str(self.count)],
            cwd=ROOT, env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "TORCH_COMPILE_DISABLE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None


def _joined(rank: int, count: int, meeting: str) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count, timeout=timedelta(seconds=60)
    )


def _done(command: dict[str, Any]) -> dict[str, Any]:
    file, _, name = command["case"].partition(":")
    try:
        place = file if "." in file else f"apply.{file}"
        case: Callable[..., Any] = getattr(importlib.import_module(f"tests.{place}"), name)
        return {"found": case(**command["given"])}
    except Exception:  # noqa: BLE001  # what a case raises is told to those who asked
        return {"raised": traceback.format_exc()}


def _other(line: Any, rank: int, count: int, meeting: str) -> None:
    _joined(rank, count, meeting)
    with contextlib.suppress(EOFError):
        while True:
            line.send(_done(line.recv()))


def main() -> None:
    import torch
    import transformers  # noqa: F401  # loaded once, before there are several processes

    import planc  # noqa: F401

    torch.set_num_threads(1)
    count = int(sys.argv[1])
    meeting = os.path.join(tempfile.mkdtemp(prefix="planc-ranks-"), "meeting")
    lines: list[Any] = []
    for rank in range(1, count):
        here, there = multiprocessing.Pipe()
        if os.fork() == 0:
            for line in (here, *lines):
                line.close()
            _other(there, rank, count, meeting)
            os._exit(0)
        there.close()
        lines.append(here)
    _joined(0, count, meeting)
    for text in sys.stdin:
        command = json.loads(text)
        for line in lines:
            line.send(command)
        found = [_done(command)]
        # A rank that has raised may have left others waiting for it: they are not waited for long.
        wait = 5 if "raised" in found[0] else TIMEOUT
        found += [line.recv() if line.poll(wait) else {"raised": "no end"} for line in lines]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
