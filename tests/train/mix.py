"""A model of which one part is split and another is plain; the same as it is; what differs."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from tests.apply.sharding import BATCH, TENSOR, Toy

Sizes = dict[str, int]
REDUCTIONS = ("_reduce_scatter_base_", "allreduce_")
"""Those of FSDP. Boundaries of tensor axes run functional ones."""


class Mix(nn.Module):
    """A body for a plan, and a head that the plan does not cover."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = Toy(), nn.Linear(7, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(ids))


def mixed(sizes: Sizes, lines: Iterable[str] = ("blocks.*", "root")) -> tuple[Mix, Mix, DeviceMesh]:
    """The model as it is, one whose body is under a plan, and the mesh."""
    torch.manual_seed(0)
    whole = Mix()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    text = f"plan toy\nmesh {', '.join(sizes)}\n" + (TENSOR if "tp" in sizes else "")
    if "dp" in sizes:
        text += f"fsdp dp{' replicate pod' if 'pod' in sizes else ''} {{\n" + "\n".join(lines) + "\n}\n"
    planc.parallelize(model.body, planc.parse(text), mesh, inputs=[ids()])
    return whole, model, mesh


def ids(seed: int = 1) -> Tensor:
    """Inputs, the same on every rank: then plain parameters have the whole gradient."""
    return torch.randint(0, 11, (BATCH, 3), generator=torch.Generator().manual_seed(seed))


def loss(model: nn.Module, seed: int = 1) -> Tensor:
    found: Tensor = model(ids(seed)).square().mean()
    return found


def whole_of(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def off(got: Tensor, needed: Tensor) -> float:
    """How far a tensor is off, as a part of the largest entry."""
    got, needed = whole_of(got).double(), needed.detach().double()
    assert got.shape == needed.shape
    return float((got - needed).abs().max() / needed.abs().max().clamp_min(1e-6))


def worst(got: nn.Module, needed: nn.Module, gradients: bool = False) -> float:
    """The same of all parameters, or of their gradients."""
    pairs = zip(got.parameters(), needed.parameters(), strict=True)
    return max(off(a.grad, b.grad) if gradients else off(a, b) for a, b in pairs)


def same_everywhere(value: Any) -> bool:
    """Whether all ranks hold the same."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return all(one == value for one in every)


class Sent(TorchDispatchMode):
    """Counts collectives: all, and those by which FSDP reduces."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func._schema.name.partition("::")
        if space in ("_c10d_functional", "c10d") and not name.startswith(("wait", "_wrap")):
            self.names.append(name)
        return func(*args, **(kwargs or {}))

    @property
    def reductions(self) -> int:
        return sum(name in REDUCTIONS for name in self.names)
