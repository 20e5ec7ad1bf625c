"""Captures of the small models, on the first rank."""

from __future__ import annotations

import torch.distributed as dist

from planc import capture
from planc.graph.graph_writer import write_graph_file
from tests.torch.apply.ranks.models import model_reference


def write_graph(name: str, path: str) -> None:
    """Write the graph of a family."""
    if dist.get_rank() == 0:
        write_graph_file(capture(model_reference(name)[0], inputs=model_reference(name)[1]), path)
    dist.barrier()
