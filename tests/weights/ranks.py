"""Processes that run a case together over gloo: a request is a line of JSON, and so is its answer.

The parent of the ranks has loaded torch and transformers; each case gets fresh forks of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 240


class Ranks:
    """The side of those who ask."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.weights.ranks"],
            cwd=ROOT, env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "TORCH_COMPILE_DISABLE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, world: int, case: str, **said: Any) -> Any:
        """What a case returns on the first rank. A fault on any rank is an AssertionError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"world": world, "case": case, "said": said}) + "\n")
        stdin.flush()
        if not select.select([stdout], [], [], TIMEOUT)[0]:
            self._process.kill()
            raise AssertionError(f"no end within {TIMEOUT} seconds")
        answer = json.loads(stdout.readline())
        assert not answer["faults"], "\n".join(answer["faults"])
        return answer["found"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _rank(rank: int, world: int, meeting: str, command: dict[str, Any]) -> Any:
    import torch.distributed as dist

    from tests.weights import cases

    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    try:
        return getattr(cases, command["case"])(**command["said"])
    finally:
        dist.destroy_process_group()


def _answer(command: dict[str, Any]) -> dict[str, Any]:
    """Fork the ranks, and collect what they find."""
    from tests.weights.cases import graph

    if "family" in command["said"]:
        graph(command["said"]["family"])
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
    import torch
    import torch.distributed._functional_collectives
    import torch.distributed.fsdp
    import transformers

    import planc.torch.apply.parallelize  # noqa: F401
    import tests.weights.cases  # noqa: F401  # what is loaded here is loaded once

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    out = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed is no answer
    for line in sys.stdin:
        os.write(out, (json.dumps(_answer(json.loads(line))) + "\n").encode())


if __name__ == "__main__":
    main()
