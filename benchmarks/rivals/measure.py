"""Measures a round of training steps."""

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
    """A round of steps on the slowest rank, and the loss of each step over all data ranks."""

    seconds: float  # a step
    peak: int  # bytes of one rank above those in use when the round began
    losses: tuple[float, ...]


def run_steps(rival: Rival, data: Sequence[Tensor], steps: range, device: torch.device) -> Round:
    """Time some steps together: no rank synchronizes with its device between them."""
    gc.collect()
    before = _start_together(device)
    start = time.perf_counter()
    losses = [rival.step(data[i % len(data)]) for i in steps]
    synchronize(device)
    seconds = (time.perf_counter() - start) / len(steps)
    peak = torch.cuda.max_memory_allocated() - before if device.type == "cuda" else 0
    most = torch.tensor([seconds, peak], dtype=torch.float64, device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    mean = torch.stack([x.full_tensor() if isinstance(x, DTensor) else x for x in losses]).double()
    dist.all_reduce(mean)
    return Round(float(most[0]), int(most[1]), tuple((mean / dist.get_world_size()).tolist()))


def _start_together(device: torch.device) -> int:
    """Synchronize all ranks. Returns the bytes in use."""
    synchronize(device)
    dist.barrier()
    synchronize(device)
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def allocated_bytes(device: torch.device) -> int:
    """The bytes in use, after garbage of deleted rivals is collected."""
    gc.collect()
    synchronize(device)
    return torch.cuda.memory_allocated() if device.type == "cuda" else 0


def warm_up_libraries(device: torch.device) -> None:
    """Have libraries allocate what they allocate once, so that it is not counted for the first rival."""
    x = torch.ones(16, 16, device=device, requires_grad=True)
    linear(x, x).sum().backward()
    dist.barrier()
