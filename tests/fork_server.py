"""The warm process of a run of tests: it has loaded the libraries once, and forks all processes that tests need.

    python -m tests.fork_server FOLDER OWNER

It listens at FOLDER/socket and ends with the process OWNER. Each client, a worker of pytest, gets a fork that
serves it, a `Session`; see `tests/rank_pool.py` for the side of the clients. Loading torch, transformers and Lightning
takes seconds; a fork of a process that has them takes none.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5
"""Seconds that the other ranks are waited for after one has raised: it may have left them waiting."""
GROUPS = 2
"""Groups that a session keeps for the next case; their ranks have threads and memory."""
PRELOADED = (
    "functorch.compile",
    "lightning.pytorch",
    "networkx",
    "planc.lightning.fabric",
    "planc.syntax.data.read_data",
    "planc.torch.apply.parallelize",
    "planc.torch.verify.verify_plan",
    "pydantic.json_schema",
    "pydantic.type_adapter",
    "torch._dynamo.debug_utils",
    "torch._dynamo.testing",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
)
"""What each case would load for itself, seconds in all."""
Request = dict[str, Any]
Answer = dict[str, Any]
"""`value`, what a process returned, or `raised`, the traceback of what it raised."""


def preload(*modules: str) -> None:
    """Load what forks need. It stays: collecting garbage would look through it in every fork, and so copy it."""
    for name in modules:
        if name not in sys.modules:
            with contextlib.suppress(ImportError):  # the case that needs it raises this
                importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _load_lazy_parts() -> None:
    """Load what libraries load on first use only: models, the grammar, the rules."""
    import torch
    import transformers

    import planc
    from tests.judge.families import FAMILIES

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for family in FAMILIES.values():
        getattr(transformers, family.model)
    graph = Path(__file__).parent / "plans" / "families" / "llama.graph.json.gz"
    planc.check("llama", dp=1, tp=2, model=str(graph))


def _join_process_group(rank: int, count: int, rendezvous: str, *, launched: bool) -> None:
    """Become a rank of the default process group, over gloo, and if `launched` as torchrun would start it."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    quiet = ["torch._subclasses.fake_tensor"]
    if launched:
        from lightning_utilities.core.rank_zero import rank_zero_only

        quiet += ["lightning.pytorch", "lightning.fabric", "lightning"]
        rank_zero_only.rank = rank
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
            "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "tests",
        }  # fmt: skip
    for name in quiet:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # A file, and no port: others may take a port.
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=count, timeout=timedelta(seconds=60)
    )


def _run(request: Request) -> Answer:
    """Call the function of a request in this process."""
    import torch

    # Nothing of an earlier case may decide what this one draws.
    os.environ.pop("PL_GLOBAL_SEED", None)
    random.seed(0)
    torch.manual_seed(0)
    try:
        module, _, name = request["function"].partition(":")
        value = getattr(importlib.import_module(module), name)(**request["kwargs"])
        json.dumps(value)
    except (Exception, SystemExit):  # noqa: BLE001  # the client is told what a case raises
        return {"raised": traceback.format_exc()}
    return {"value": value}


class ProcessGroup:
    """Forked processes, and the pipes to them.

    Args:
        count: how many.
        begin: what a process does first, given its number and a path to meet the others at.
    """

    def __init__(self, count: int, begin: Callable[[int, str], None]) -> None:
        self.pipes: list[Any] = []
        self.processes: list[int] = []
        self.uses = 0
        self._folder = tempfile.mkdtemp(prefix="planc-ranks-")
        for rank in range(count):
            own, other = multiprocessing.Pipe()
            child = os.fork()
            if child == 0:
                for pipe in (own, *self.pipes):
                    pipe.close()
                self._live(other, lambda number=rank: begin(number, os.path.join(self._folder, "meeting")))
            other.close()
            self.pipes.append(own)
            self.processes.append(child)

    def _live(self, pipe: Any, begin: Callable[[], None]) -> None:
        """The life of a process: it answers requests until nobody is left who could send one."""
        try:
            begin()
            while True:
                pipe.send(_run(pipe.recv()))
        except EOFError:
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)

    def run(self, request: Request, seconds: float) -> list[Answer]:
        """The answer of each process."""
        self.uses += 1
        end = time.monotonic() + seconds
        answers: list[Answer] = [{"raised": f"no end within {seconds:g} seconds"} for _ in self.pipes]
        waiting = dict(enumerate(self.pipes))
        for pipe in self.pipes:
            with contextlib.suppress(OSError):  # the answer is that it has ended
                pipe.send(request)
        while waiting and (left := end - time.monotonic()) > 0:
            ready = multiprocessing.connection.wait(list(waiting.values()), left)
            for rank in [rank for rank, pipe in waiting.items() if pipe in ready]:
                try:
                    answers[rank] = waiting.pop(rank).recv()
                except (EOFError, OSError):
                    answers[rank] = {"raised": "the process has ended"}
                if "raised" in answers[rank]:
                    end = min(end, time.monotonic() + GRACE_SECONDS)
        return answers

    def close(self) -> None:
        """End the processes."""
        for child in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for pipe in self.pipes:
            pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Session:
    """The fork that serves one client: it keeps groups of ranks for the next cases of their size.

    A request has `function`, `kwargs` and `seconds`, and for ranks `count`, `launched` (as by torchrun), `fresh`
    (in processes that nothing ran in before, which nothing runs in afterwards) and `max_uses` (of a group: each case
    leaves threads behind, some for every process group that it made). Without a `count` a process of its own calls
    the function.
    """

    def __init__(self) -> None:
        self.groups: dict[tuple[int, bool], ProcessGroup] = {}

    def answer(self, request: Request) -> list[Answer]:
        """What each process answers."""
        preload(request["function"].partition(":")[0])
        count = request.get("count")
        if count is None:
            return self._run_once(ProcessGroup(1, _be_as_users_are), request)
        launched = request["launched"]
        if request["fresh"]:
            self.close()
            return self._run_once(_ranks(count, launched), request)
        key = count, launched
        group = self.groups.pop(key, None)
        if group is None:
            while len(self.groups) >= GROUPS:
                self.groups.pop(next(iter(self.groups))).close()
            group = _ranks(count, launched)
        self.groups[key] = group  # the last one is the one that is used last
        answers = group.run(request, request["seconds"])
        if group.uses >= request["max_uses"] or any("raised" in one for one in answers):
            self.groups.pop(key).close()
        return answers

    def _run_once(self, group: ProcessGroup, request: Request) -> list[Answer]:
        try:
            return group.run(request, request["seconds"])
        finally:
            group.close()

    def close(self) -> None:
        """End all ranks."""
        while self.groups:
            self.groups.popitem()[1].close()


def _be_as_users_are(_rank: int, _rendezvous: str) -> None:
    """Let torch compile, which ranks do not: they would compile each small model anew."""
    from torch._dynamo import config

    os.environ.pop("TORCH_COMPILE_DISABLE", None)
    config.disable = False


def _ranks(count: int, launched: bool) -> ProcessGroup:
    return ProcessGroup(count, lambda rank, path: _join_process_group(rank, count, path, launched=launched))


def _serve(line: multiprocessing.connection.Connection) -> None:
    """Answer a client until it goes away."""
    session = Session()
    with contextlib.suppress(EOFError, OSError):
        while True:
            line.send_bytes(json.dumps(session.answer(json.loads(line.recv_bytes()))).encode())
    session.close()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    folder, owner = Path(sys.argv[1]), int(sys.argv[2])
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    preload(*PRELOADED)
    _load_lazy_parts()
    preload()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket.new"))
    listener.listen()
    listener.settimeout(2)
    (folder / "socket.new").rename(folder / "socket")
    while _is_alive(owner):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        with contextlib.suppress(TimeoutError):
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                line.settimeout(None)
                _serve(multiprocessing.connection.Connection(line.detach()))
                os._exit(0)
            line.close()
    os.killpg(0, signal.SIGKILL)  # it is the first of a session of its own


if __name__ == "__main__":
    main()
