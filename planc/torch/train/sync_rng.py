"""One stream of random numbers for the ranks that share a batch."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup

from planc.torch.train.grads import comm_device


def sync_rng(group: ProcessGroup) -> None:
    """All ranks of a tensor group go on with the first one's random numbers: Python's, numpy's, and
    torch's on the CPU and on the rank's device. So shuffles, initial values and dropout agree;
    ranks of other groups keep their own. Every rank of the group calls this.

    With several tensor axes, it is called for the group of each, one after the other.
    """
    if group.size() == 1:
        return
    states = [_rng_states() if group.rank() == 0 else None]
    dist.broadcast_object_list(
        states, group_src=0, group=group, device=comm_device(torch.device("cpu"), group)
    )
    found = states[0]
    assert found is not None
    if group.rank():
        _set_rng_states(found)


def _rng_states() -> dict[str, Any]:
    found: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    # Torch does without numpy; who has not loaded it has drawn nothing from it.
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        found["numpy"] = numpy.random.get_state()
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _set_rng_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    if "numpy" in states:
        import numpy as np

        np.random.set_state(states["numpy"])  # noqa: NPY002  # the stream that libraries draw from
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
