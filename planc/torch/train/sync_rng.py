"""The same random numbers on all ranks that share a batch."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup

from planc.torch.train.grads import comm_device


def sync_rng(group: ProcessGroup) -> None:
    """Give all ranks of a tensor group the state of the first one's generators: Python's, numpy's, and torch's on
    the CPU and on the rank's device. Shuffles, initial values and dropout then agree within the group;
    other groups keep their own. Every rank of the group calls this.

    With several tensor axes, call it for the group of each, one after the other.
    """
    if group.size() == 1:
        return
    states = [_rng_states() if group.rank() == 0 else None]
    dist.broadcast_object_list(
        states, group_src=0, group=group, device=comm_device(torch.device("cpu"), group)
    )
    first = states[0]
    assert first is not None
    if group.rank():
        _set_rng_states(first)


def _rng_states() -> dict[str, Any]:
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    # Torch does not need numpy: a process that has not loaded it has drawn nothing from it.
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        states["numpy"] = numpy.random.get_state()
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_rng_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    if "numpy" in states:
        import numpy as np

        np.random.set_state(states["numpy"])  # noqa: NPY002  # the stream that libraries draw from
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
