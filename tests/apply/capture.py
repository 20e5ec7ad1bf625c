"""Captures of the small models, on the first rank."""

from __future__ import annotations

import torch.distributed as dist

from planc import capture
from planc.graphs.write import write
from tests.apply.models import reference


def graph(name: str, path: str) -> None:
    """Write the graph of a family."""
    if dist.get_rank() == 0:
        write(capture(reference(name)[0], inputs=reference(name)[1]), path)
    dist.barrier()
