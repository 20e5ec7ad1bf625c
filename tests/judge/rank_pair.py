"""Two processes that run cases: commands come in as lines of JSON, findings go out so.

`Pair` is the side of those who ask. Only the first of the two processes talks to them.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import multiprocessing
import os
import select
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 120


class ProcessesEnded(Exception):
    """The processes are no more."""


class RankPair:
    """Starts the processes on first use, and again where a case did not end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def request(self, **command: Any) -> Any:
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], TIMEOUT)[0]:
            self.close()
            return {"wrong": f"no end within {TIMEOUT} seconds"}
        line = process.stdout.readline()
        if not line:
            self.close()
            raise ProcessesEnded("the judge's processes have ended")
        return json.loads(line)

    def capture(self, reference: str, path: str) -> None:
        """Capture a model into a graph file."""
        self.request(do="capture", reference=reference, path=path)

    def toy_plan(self, toy: str) -> list[str]:
        """The plan of a toy."""
        return list(self.request(do="lines", toy=toy)["lines"])

    def judge(self, name: str, settings: dict[str, Any], case: dict[str, Any], policy: str) -> str | None:
        """What is wrong with a case; None: nothing."""
        try:
            found = self.request(do="judge", family=name, settings=settings, case=case, policy=policy)
        except ProcessesEnded:
            # Torch's collectives do not say that a rank has failed, and torch 2.11 divides by zero in
            # attention without heads. A judge that cannot run at all calls right plans wrong, too.
            return "one of the processes ends"
        return found["wrong"]

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.judge.rank_pair"],
            cwd=ROOT, env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
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


class JudgeRank:
    """One of the processes, once torch is loaded."""

    def __init__(self, rank: int, meeting: str) -> None:
        import torch
        import torch.distributed as dist

        from tests.judge.communication import RANKS, RankLink

        torch.set_num_threads(1)
        logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # wrong plans raise
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        limit = timedelta(seconds=TIMEOUT)
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=RANKS, timeout=limit
        )
        self.wire = RankLink(rank)
        self.known: dict[str, Any] = {}

    def judge(self, command: dict[str, Any]) -> str | None:
        from tests.judge.compare import Reference, compare

        key = json.dumps([command["family"], command["settings"]])
        if key not in self.known:
            self.known = {key: Reference(command["family"], command["settings"])}
        return compare(self.known[key], command["case"], self.wire, command["policy"])


def main() -> None:
    import torch
    import transformers  # noqa: F401  # loaded once, before there are two processes

    torch.set_num_threads(1)
    gc.freeze()  # what is loaded stays
    folder = tempfile.mkdtemp(prefix="judge-")
    here, there = multiprocessing.Pipe()
    if os.fork() == 0:
        here.close()
        _run_second_rank(there, f"{folder}/meeting")
        os._exit(0)
    there.close()
    first = JudgeRank(0, f"{folder}/meeting")
    for line in sys.stdin:
        command = json.loads(line)
        found: dict[str, Any] = {}
        if command["do"] == "capture":
            _capture(command["reference"], command["path"])
        elif command["do"] == "lines":
            found = {"lines": _lines(command["toy"])}
        else:
            here.send(command)
            own = first.judge(command)
            other = here.recv()
            found = {"wrong": own or other}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def _run_second_rank(line: Any, meeting: str) -> None:
    rank = JudgeRank(1, meeting)
    with contextlib.suppress(EOFError):
        while True:
            line.send(rank.judge(line.recv()))


def _lines(toy: str) -> list[str]:
    from tests.judge.toys import TOYS

    return list(TOYS[toy].LINES)


def _capture(reference: str, path: str) -> None:
    from planc.graph.graph_writer import write_graph_file
    from planc.torch.capture.from_reference import capture_reference

    write_graph_file(capture_reference(reference), path)


if __name__ == "__main__":
    main()
