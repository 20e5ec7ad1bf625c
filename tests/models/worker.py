"""One process of the table of models: cases come in as lines of JSON, their lines of the table go out so.

Each case runs in a fork of this process, which has loaded the libraries, with a limit of time and of memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

SECONDS, GIBIBYTES = 120, 8
"""That a case may take."""
_LOOK_EVERY = 0.2


def judge_case(job: dict[str, Any]) -> dict[str, Any]:
    """The line of a case, from a fork that is killed where it takes too long or too much memory."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        _answer(job, writer)
    os.close(writer)
    answer = b""
    stopped = ""
    ends = time.monotonic() + job.get("seconds", SECONDS)
    try:
        while True:
            ready, _, _ = select.select([reader], [], [], _LOOK_EVERY)
            if ready:
                part = os.read(reader, 1 << 16)
                if not part:
                    break
                answer += part
            elif time.monotonic() > ends or _memory(child) > GIBIBYTES << 30:
                stopped = "it takes too long" if time.monotonic() > ends else "it takes too much memory"
                break
    finally:
        os.close(reader)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with contextlib.suppress(ValueError):
        return dict(json.loads(answer))
    return {
        "source": job["source"],
        "name": job["name"],
        "ran": False,
        "not_run": stopped or "the process ended",
    }


def _answer(job: dict[str, Any], writer: int) -> None:
    """Judge a case, write its line, and end the process."""
    from tests.models.cases import Case
    from tests.models.judge_model import judge_model

    try:
        row = judge_model(Case(job["source"], job["name"]), with_numbers=job.get("with_numbers", True))
    except BaseException:  # noqa: BLE001  # those who asked are told
        row = {"source": job["source"], "name": job["name"], "raised": traceback.format_exc()}
    os.write(writer, json.dumps(row).encode())
    os._exit(0)


def _memory(process: int) -> int:
    """The bytes that a process holds."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    return 0


def preload() -> None:
    """Load what forks need."""
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "CUDA_VISIBLE_DEVICES": ""}
    warnings.simplefilter("ignore")
    import torch

    from planc.torch.models.model_class import import_transformers
    from tests.models import image_models

    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):
        image_models.load_torchvision()
    import_transformers()


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    preload()
    for line in sys.stdin:
        answers.write(json.dumps(judge_case(json.loads(line))) + "\n{}\n")
        answers.flush()


if __name__ == "__main__":
    main()
