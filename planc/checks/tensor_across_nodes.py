"""A tensor-parallel group that spans nodes.

Tensor parallelism communicates in every layer, forward and backward, and communication between
nodes is many times slower than within one. The last axis varies fastest over the ranks, so the
groups of an axis span its size times the sizes of the axes after it.

Wrong (planc check --dp 2 --tp 8 --gpus-per-node 4):

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }
    fsdp dp {
        root
    }

Right (planc check --dp 2 --tp 4 --gpus-per-node 4):

    mesh dp, tp
    tensor tp {
        lm_head  colwise
    }
    fsdp dp {
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.resolved import Resolved, Settings


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    node = settings.gpus_per_node
    if node is None:
        return
    names = [axis.name for axis in resolved.axes]
    for block in resolved.blocks:
        if not block.splits_tensors or block.axes[0].value not in names:
            continue
        inner = resolved.axes[names.index(block.axes[0].value) :]
        sizes = [axis.size for axis in inner if axis.size is not None]
        if len(sizes) < len(inner):
            continue
        if spans_nodes(sizes[0], prod(sizes[1:]), node, _world_size(resolved)):
            name = inner[0].name
            yield diagnostic("M206", block.axes[0].location.label(f"its groups span {prod(sizes)} devices"),
                         f"tensor parallelism on axis '{name}' crosses nodes of {node} devices",
                         f"needed: a span that divides {node}",
                         "help: make the axis smaller, or declare it last")  # fmt: skip


def _world_size(resolved: Resolved) -> int | None:
    sizes = [axis.size for axis in resolved.axes]
    return None if None in sizes else prod(size for size in sizes if size is not None)


def spans_nodes(size: int, stride: int, node: int, world: int | None) -> bool:
    """Whether some group of `size` ranks, `stride` apart, has members on two nodes.

    A group spans `size * stride` consecutive ranks. If the span divides the node, no span contains the
    border of two nodes. If it does not, the span that contains the first border has a group on both
    sides of it. A world that fits on one node has no border.

    Args:
        size: ranks of a group.
        stride: the distance of neighbouring ranks of a group.
        node: devices of a node.
        world: devices in all; None: not known, taken to be more than one node if a span is.
    """
    if size == 1 or node % (size * stride) == 0:
        return False
    return size * stride > node if world is None else world > node
