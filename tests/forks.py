"""Groups of processes over gloo, forked from one that has loaded the libraries.

Loading torch and transformers takes seconds of each process; a fork of one that has them takes none.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5
"""Seconds that ranks are waited for after one has raised."""
PRELOADED = (
    "functorch.compile",
    "networkx",
    "planc.syntax.data.read_data",
    "planc.torch.apply.apply_lowered",
    "pydantic.json_schema",
    "pydantic.type_adapter",
    "torch._dynamo.debug_utils",
    "torch._dynamo.testing",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
)
"""What each case would load for itself, a second or two in all."""
RankResult = dict[str, Any]
"""What a rank found, or what it raised."""


def preload(*files: str) -> None:
    """Load what forks need, and what these modules need. It stays: collecting garbage would look through it in
    every fork, and so copy it."""
    for name in (*PRELOADED, *files):
        if name not in sys.modules:
            with contextlib.suppress(ImportError):  # those who need it say so
                importlib.import_module(name)
    _prepare()
    gc.collect()
    gc.freeze()


@functools.cache
def _prepare() -> None:
    """What is loaded on first use only: models, the grammar, the rules."""
    import torch
    import transformers

    import planc
    from tests.judge.families import FAMILIES

    torch.set_num_threads(1)
    for family in FAMILIES.values():
        getattr(transformers, family.model)
    graph = Path(__file__).parent / "plans" / "families" / "llama.graph.json.gz"
    planc.check("llama", dp=1, tp=2, model=str(graph))


def join_process_group(rank: int, count: int, meeting: str) -> None:
    """Become a rank of the default process group."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # A file is met at in place of a port, which others may take.
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count, timeout=timedelta(seconds=60)
    )


class RankGroup:
    """Forked processes, and the lines to them.

    Args:
        count: how many ranks.
        begin: what a rank does first, given its number, their number, and a path to meet at.
        said: what a rank says to a command.
    """

    def __init__(
        self, count: int, begin: Callable[[int, int, str], None], said: Callable[[dict[str, Any]], RankResult]
    ) -> None:
        self.lines: list[Any] = []
        self.processes: list[int] = []
        self.uses = 0
        self._folder = tempfile.mkdtemp(prefix="planc-ranks-")
        for rank in range(count):
            here, there = multiprocessing.Pipe()
            child = os.fork()
            if child == 0:
                for line in (here, *self.lines):
                    line.close()
                try:
                    begin(rank, count, os.path.join(self._folder, "meeting"))
                    while True:
                        there.send(said(there.recv()))
                except EOFError:
                    os._exit(0)
                finally:
                    traceback.print_exc()
                    os._exit(1)
            there.close()
            self.lines.append(here)
            self.processes.append(child)

    def run(self, command: dict[str, Any], seconds: float) -> list[RankResult]:
        """What each rank says. One that raised may have left others waiting: they are given a little."""
        self.uses += 1
        end = time.monotonic() + seconds
        said: list[RankResult] = [{"raised": "no end"} for _ in self.lines]
        open_ = dict(enumerate(self.lines))
        for rank, line in enumerate(self.lines):
            try:
                line.send(command)
            except OSError:
                said[rank] = {"raised": "the process has ended"}
                end = min(end, time.monotonic() + GRACE_SECONDS)
                del open_[rank]
        while open_ and (left := end - time.monotonic()) > 0:
            ready = multiprocessing.connection.wait(list(open_.values()), left)
            for rank in [rank for rank, line in open_.items() if line in ready]:
                try:
                    said[rank] = open_.pop(rank).recv()
                except (EOFError, OSError):
                    said[rank] = {"raised": "the process has ended"}
                if "raised" in said[rank]:
                    end = min(end, time.monotonic() + GRACE_SECONDS)
        return said

    def close(self) -> None:
        for child in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for line in self.lines:
            line.close()
        shutil.rmtree(self._folder, ignore_errors=True)
