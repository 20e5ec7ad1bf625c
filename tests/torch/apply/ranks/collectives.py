"""Each collective in each of its ways, on tensors whose every number says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from planc.torch.apply import c10d, collectives

SHAPES = (((4, 6), 0), ((1, 4, 3), 1), ((3, 4, 2), 1), ((2, 3, 4), 2), ((1, 1, 4), 2), ((2, 1, 4, 3), 2))
"""Of whole tensors, and the dim that the ranks share."""


class DispatchRecorder(TorchDispatchMode):
    """Looks on, and notes the collectives that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "c10d" in func.namespace:
            self.seen.add(func.namespace)
        return func(*args, **(kwargs or {}))


def collective_paths(large: int) -> list[str]:
    """What is wrong; `large`: from how many bytes slices that lie apart are sent by themselves."""
    c10d.MIN_SLICE_BYTES = large
    torch._dynamo.reset()
    found = []
    for name, way in {"direct": _direct, "seen": _under_dispatch_mode, "compiled": _compiled}.items():
        for shape, dim in SHAPES:
            found += [f"{name}: {fault} of {shape} along {dim}" for fault in _mismatches(way, shape, dim)]
    return found


def _mismatches(way: Callable[..., Tensor], shape: tuple[int, ...], dim: int) -> list[str]:
    group = dist.distributed_c10d._get_default_group()
    ranks, rank = group.size(), group.rank()
    # Ranks have tensors that differ in every number.
    of = [torch.arange(prod(shape)).reshape(shape) * 1.0 + 1000 * each for each in range(ranks)]
    whole = of[0]
    # Not contiguous, as what comes out of a transpose.
    own = whole.tensor_split(ranks, dim)[rank].transpose(0, -1).contiguous().transpose(0, -1)
    total = torch.stack(of).sum(0)
    pairs = {
        "gathered": (way(collectives.all_gather, own, dim, group), whole),
        "scattered": (
            way(collectives.reduce_scatter, of[rank], dim, group),
            total.tensor_split(ranks, dim)[rank],
        ),
        "reduced": (way(collectives.all_reduce, of[rank], group), total),
        "the largest": (way(collectives.all_reduce, of[rank], group, "max"), of[-1]),
        "what is handed in": (of[rank], torch.arange(prod(shape)).reshape(shape) * 1.0 + 1000 * rank),
    }
    if not dim:
        sent = of[rank][:ranks]
        pairs["exchanged"] = (way(collectives.all_to_all, sent, group), torch.stack([x[rank] for x in of]))
    return [name for name, (got, needed) in pairs.items() if not torch.equal(got, needed)]


@torch.no_grad()
def _direct(collective: Callable[..., Tensor], *args: Any) -> Tensor:
    return collective(*args)


@torch.no_grad()
def _under_dispatch_mode(collective: Callable[..., Tensor], *args: Any) -> Tensor:
    with DispatchRecorder() as mode:
        found = collective(*args)
    assert mode.seen == {"_c10d_functional"}, mode.seen
    return found


@torch.no_grad()
def _compiled(collective: Callable[..., Tensor], *args: Any) -> Tensor:
    with torch._dynamo.config.patch(disable=False, recompile_limit=64):
        return torch.compile(collective, fullgraph=True, backend="aot_eager")(*args)
