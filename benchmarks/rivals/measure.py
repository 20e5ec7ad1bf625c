"""A round of steps of one rival, and what it costs."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.functional import linear

from rivals.rival import Rival


@dataclass(frozen=True)
class Round:
    """What a round of steps took on the slowest rank, and the loss of each step over all data."""

    seconds: float  # a step
    peak: int  # bytes of one rank above what lay there when the round began
    losses: tuple[float, ...]


def run(rival: Rival, data: Sequence[Tensor], steps: range, device: torch.device) -> Round:
    """Some steps, timed together: no rank waits for its device in between."""
    gc.collect()
    before = _quiet(device)
    begun = time.perf_counter()
    losses = [rival.step(data[i % len(data)]) for i in steps]
    wait(device)
    seconds = (time.perf_counter() - begun) / len(steps)
    peak = torch.cuda.max_memory_allocated() - before if device.type == "cuda" else 0
    most = torch.tensor([seconds, peak], dtype=torch.float64, device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    mean = torch.stack([x.full_tensor() if isinstance(x, DTensor) else x for x in losses]).double()
    dist.all_reduce(mean)
    return Round(float(most[0]), int(most[1]), tuple((mean / dist.get_world_size()).tolist()))


def _quiet(device: torch.device) -> int:
    """All ranks begin together. Returns the bytes that are in use."""
    wait(device)
    dist.barrier()
    wait(device)
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def used(device: torch.device) -> int:
    """The bytes in use, without what a rival left that is gone."""
    gc.collect()
    wait(device)
    return torch.cuda.memory_allocated() if device.type == "cuda" else 0


def warm(device: torch.device) -> None:
    """What the libraries allocate once is not the first rival's."""
    x = torch.ones(16, 16, device=device, requires_grad=True)
    linear(x, x).sum().backward()
    dist.barrier()
