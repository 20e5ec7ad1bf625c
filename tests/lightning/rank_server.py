"""Processes for Lightning, over gloo on this machine, as a launcher like torchrun would start them.

`Ranks` is the side of those who ask. Behind it is one process that has loaded Lightning and forks
groups of ranks: a group is kept for the next cases of its size, and made anew after some of them, or where a
case has raised or did not end. So the libraries are loaded once, a fresh group costs little, and few threads of
gloo wait for nothing.

A case is a function of this folder. It finds the environment of torchrun and builds its Trainer or Fabric with
`devices=count`; it gets what it is given, and returns what JSON can hold:

    shared().ask(4, "trainer:trainer_mesh", sizes=[2, 2])    # what each rank has found, in their order
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import logging
import os
import random
import select
import signal
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.forks import RankGroup, join_process_group, preload

ROOT = Path(__file__).parents[2]
TIMEOUT = 150
"""Seconds that a case may take."""
USES = 10
"""Cases of one group: each leaves threads behind, some for every process group that it made."""
NOT_OURS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED")
OF_LAUNCHERS = ("SLURM_", "TORCHELASTIC_", "OMPI_", "LSB_", "KUBERNETES_")
ENVIRONMENT = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TORCH_COMPILE_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
}


class Ranks:
    """All groups of processes that tests ask."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, count: int, case: str, *, fresh: bool = False, **given: Any) -> list[Any]:
        """What each of `count` ranks returns from a function, named `file:function`.

        Args:
            fresh: whether the case needs processes that nothing ran in before, and leaves none to others.

        Raises:
            AssertionError: a rank has raised, or they did not end.
        """
        process = self._process = self._process or _started()
        assert process.stdin is not None
        assert process.stdout is not None
        command = {"count": count, "case": case, "fresh": fresh, "given": given}
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], TIMEOUT + 60)[0]:
            self.close()
            raise AssertionError(f"{case}: no answer")
        line = process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(f"{case}: the process that forks ranks has ended")
        said = json.loads(line)
        raised = [f"rank {rank}: {one['raised']}" for rank, one in enumerate(said) if "raised" in one]
        if raised:
            raise AssertionError(f"{case} {given}:\n" + "\n".join(raised))
        return [one["found"] for one in said]

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
    """Those of this run of tests: files of tests share them, since they cost seconds to start."""
    ranks = Ranks()
    atexit.register(ranks.close)
    return ranks


def environment(**more: str) -> dict[str, str]:
    """That of the tests, without what a launcher around them has said of its own processes."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return {name: value for name, value in kept.items() if not name.startswith(OF_LAUNCHERS)} | more


def _started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.lightning.rank_server"],
        cwd=ROOT, env=environment(**ENVIRONMENT), start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _begin(rank: int, count: int, meeting: str) -> None:
    from lightning_utilities.core.rank_zero import rank_zero_only

    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "tests",
    }  # fmt: skip
    rank_zero_only.rank = rank
    join_process_group(rank, count, meeting)  # Lightning takes the group that it finds


def _file(case: str) -> str:
    """The module of a case."""
    return f"tests.lightning.ranks.{case.partition(':')[0]}"


def _said(command: dict[str, Any]) -> dict[str, Any]:
    import torch

    name = command["case"].partition(":")[2]
    # Nothing of an earlier case may decide what this one draws.
    os.environ.pop("PL_GLOBAL_SEED", None)
    random.seed(0)
    torch.manual_seed(0)
    try:
        found = getattr(importlib.import_module(_file(command["case"])), name)(**command["given"])
        json.dumps(found)
    except (Exception, SystemExit):  # noqa: BLE001  # what a case raises is told to those who asked
        return {"raised": traceback.format_exc()}
    return {"found": found}


def main() -> None:
    """Fork groups, and pass on what is asked."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import lightning.pytorch  # noqa: F401  # loaded once, before there are several processes

    import planc.lightning.fabric  # noqa: F401

    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning", "torch._subclasses.fake_tensor"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    preload()
    groups: dict[int, RankGroup] = {}
    for text in sys.stdin:
        command = json.loads(text)
        count = command["count"]
        for size in [size for size in groups if size != count or command["fresh"]]:
            groups.pop(size).close()
        if count not in groups:
            preload(_file(command["case"]))
            groups[count] = RankGroup(count, _begin, _said)
        group = groups[count]
        said = group.run(command, TIMEOUT)
        if command["fresh"] or group.uses == USES or any("raised" in one for one in said):
            groups.pop(count).close()
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
