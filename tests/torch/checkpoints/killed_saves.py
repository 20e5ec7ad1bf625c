"""Processes that save over and over to one path and are killed at random moments.

After each kill the checkpoint is loaded: it must be whole, one save's alone, and no older than the
last save that had returned. Prints what is wrong, and how many saves and kills there were.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from planc.torch.checkpoints.load_checkpoint import load_checkpoint
from planc.torch.checkpoints.saver import CheckpointSaver
from planc.torch.checkpoints.storage import LocalStorage

RANKS, TENSORS, SIZE = 2, 6, 3000


class Holder(nn.Module):
    """Tensors that all have the number of the save."""

    def __init__(self, step: int) -> None:
        super().__init__()
        for number in range(TENSORS):
            self.register_buffer(f"held_{number}", torch.full((SIZE,), float(step)))


def worker(rank: int, meeting: str, path: str, writer: int, full: bool, background: bool, step: int) -> None:
    """Save until killed; the first rank tells which saves have returned."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=RANKS, timeout=timedelta(seconds=30)
    )
    saver = CheckpointSaver()
    while True:
        step += 1
        tensors = Holder(step).state_dict() if rank == 0 or not full else {}
        saver.save(path, {"state_dict": tensors}, {"step": step}, full=full, background=background)
        if rank == 0:
            # In the background, what has returned is the save before.
            os.write(writer, b"%d\n" % (step - background))


def inspect_checkpoint(path: str) -> tuple[int, str]:
    """The number of the save that is there, and what is wrong with it."""
    model = Holder(-1)
    rest = load_checkpoint(path, {"state_dict": model}).rest
    buffers: list[Tensor] = list(model.buffers())
    numbers = {float(value) for tensor in buffers for value in tensor.unique()}
    wrong = f"tensors of {sorted(numbers)} and the rest of {rest}" if numbers != {float(rest["step"])} else ""
    return int(rest["step"]), wrong


def kill_round(folder: Path, number: int, full: bool, step: int) -> tuple[int, str]:
    """Let them save and kill them. Returns the number of the save that is there, and what is wrong."""
    path = str(folder / ("file.ckpt" if full else "folder.ckpt"))
    listen, writer = os.pipe()
    children = []
    for rank in range(RANKS):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # gloo says that it lost the other one
            with contextlib.suppress(BaseException):
                worker(
                    rank, str(folder / f"meeting-{full}-{number}"), path, writer, full, number % 2 == 1, step
                )
            os._exit(0)
        children.append(child)
    os.close(writer)
    last = step
    with os.fdopen(listen) as lines:
        while last < step + 1 + number % 2:
            line = lines.readline()
            if not line:
                return step, "the processes ended by themselves"
            last = int(line)
        time.sleep(random.uniform(0, 0.04))
        random.shuffle(children)
        for child in children:
            os.kill(child, signal.SIGKILL)
            time.sleep(random.choice([0, 0.01]))
        for child in children:
            os.waitpid(child, 0)
        last = max([last, *map(int, lines.read().split())])
    there, wrong = inspect_checkpoint(path)
    return there, wrong or ("" if there >= last else f"save {last} had returned, and {there} is there")


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    random.seed(int(sys.argv[3]))
    report: dict[str, object] = {}
    for full in (False, True):
        name = "file.ckpt" if full else "folder.ckpt"
        step, wrong, cut = 0, [], 0
        for number in range(rounds):
            step, fault = kill_round(folder, number, full, step)
            wrong += [f"round {number}: {fault}"] if fault else []
            cut += any(item.startswith(f".{name}") for item in os.listdir(folder))
        LocalStorage(folder / name).delete()
        after = [item for item in os.listdir(folder) if name in item]
        report[name] = {"wrong": wrong, "saves": step, "cut": cut, "after": after}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
