"""Processes that run a case together over gloo: a request is a line of JSON, and so is its answer.

The parent of the ranks has loaded torch and transformers; each case gets fresh forks of it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tests.forks import join_process_group, preload

ROOT = Path(__file__).parents[3]
TIMEOUT = 240


class Ranks:
    """The side of those who ask: the parent is started by the first question, and again where it did not
    answer."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.torch.weights.rank_server"], cwd=ROOT, start_new_session=True,
            env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "TORCH_COMPILE_DISABLE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, world: int, case: str, **said: Any) -> Any:
        """What a case returns on the first rank. A fault on any rank is an AssertionError."""
        process = self._process = self._process or self._started()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"world": world, "case": case, "said": said}) + "\n")
        stdin.flush()
        ready = select.select([stdout], [], [], TIMEOUT)[0]
        line = stdout.readline() if ready else ""
        if not line:
            self.close()
            raise AssertionError("the processes have ended" if ready else f"no end within {TIMEOUT} seconds")
        answer = json.loads(line)
        assert not answer["faults"], "\n".join(answer["faults"])
        return answer["found"]

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


@functools.cache
def shared() -> Ranks:
    """Those of this run of tests: files share them, since they cost seconds to start."""
    ranks = Ranks()
    atexit.register(ranks.close)
    return ranks


def _rank(rank: int, world: int, meeting: str, command: dict[str, Any]) -> Any:
    import torch.distributed as dist

    from tests.torch.weights.ranks import weights

    join_process_group(rank, world, meeting)
    try:
        return getattr(weights, command["case"])(**command["said"])
    finally:
        dist.destroy_process_group()


def _answer(command: dict[str, Any]) -> dict[str, Any]:
    """Fork the ranks, and collect what they find."""
    from tests.torch.weights.ranks.weights import captured_graph

    if "family" in command["said"]:
        captured_graph(command["said"]["family"])
    folder = Path(tempfile.mkdtemp(prefix="ranks-"))
    children = []
    for rank in range(command["world"]):
        child = os.fork()
        if child == 0:
            try:
                found: Any = {"found": _rank(rank, command["world"], str(folder / "meeting"), command)}
            except BaseException:  # noqa: BLE001  # a rank says why it ended
                found = {"fault": traceback.format_exc()}
            (folder / str(rank)).write_text(json.dumps(found))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    answers = [json.loads((folder / str(rank)).read_text()) for rank in range(command["world"])]
    return {"faults": [a["fault"] for a in answers if "fault" in a], "found": answers[0].get("found")}


def main() -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    preload("tests.torch.weights.ranks.weights")
    out = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed is no answer
    for line in sys.stdin:
        os.write(out, (json.dumps(_answer(json.loads(line))) + "\n").encode())


if __name__ == "__main__":
    main()
