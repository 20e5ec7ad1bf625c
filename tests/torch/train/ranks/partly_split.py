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
from tests.torch.apply.ranks.fsdp import BATCH, TENSOR, Toy

Sizes = dict[str, int]
REDUCTIONS = ("_reduce_scatter_base_", "allreduce_")
"""Those of FSDP. Boundaries of tensor axes run functional ones."""


class PartlySplitModel(nn.Module):
    """A body for a plan, and a head that the plan does not cover."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = Toy(), nn.Linear(7, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(ids))


def partly_split(
    sizes: Sizes, lines: Iterable[str] = ("blocks.*", "root")
) -> tuple[PartlySplitModel, PartlySplitModel, DeviceMesh]:
    """The model as it is, one whose body is under a plan, and the mesh."""
    torch.manual_seed(0)
    whole = PartlySplitModel()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    text = f"plan toy\nmesh {', '.join(sizes)}\n" + (TENSOR if "tp" in sizes else "")
    if "dp" in sizes:
        text += f"fsdp dp{' replicate pod' if 'pod' in sizes else ''} {{\n" + "\n".join(lines) + "\n}\n"
    planc.parallelize(model.body, planc.parse(text), mesh, inputs=[make_ids()])
    return whole, model, mesh


def make_ids(seed: int = 1) -> Tensor:
    """Inputs, the same on every rank: then plain parameters have the whole gradient."""
    return torch.randint(0, 11, (BATCH, 3), generator=torch.Generator().manual_seed(seed))


def compute_loss(model: nn.Module, seed: int = 1) -> Tensor:
    found: Tensor = model(make_ids(seed)).square().mean()
    return found


def full_tensor(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def relative_error(got: Tensor, needed: Tensor) -> float:
    """How far a tensor is off, as a part of the largest entry."""
    got, needed = full_tensor(got).double(), needed.detach().double()
    assert got.shape == needed.shape
    return float((got - needed).abs().max() / needed.abs().max().clamp_min(1e-6))


def worst_error(got: nn.Module, needed: nn.Module, gradients: bool = False) -> float:
    """The same of all parameters, or of their gradients."""
    pairs = zip(got.parameters(), needed.parameters(), strict=True)
    return max(relative_error(a.grad, b.grad) if gradients else relative_error(a, b) for a, b in pairs)


def equal_on_all_ranks(value: Any) -> bool:
    """Whether all ranks hold the same."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, value)
    return all(one == value for one in every)


class CollectiveRecorder(TorchDispatchMode):
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
