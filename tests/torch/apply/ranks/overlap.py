"""Products beside gathers, against the whole model: results, gradients, and how often they ran so."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from planc.torch.apply import overlap
from planc.torch.apply.module_runtime import ModuleRuntime

WIDTH, INNER = 8, 12


class GatedMLP(nn.Module):
    """Layers with a bias and without; one that it can do without."""

    def __init__(self, skips: bool) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, INNER), nn.Linear(WIDTH, INNER, bias=False)
        self.down, self.skips = nn.Linear(INNER, WIDTH), skips

    def forward(self, x: Tensor) -> Any:
        y = self.gate(x).relu()
        return self.down(y if self.skips else y * self.up(x))


class Model(nn.Module):
    def __init__(self, skips: bool = False) -> None:
        super().__init__()
        self.enter, self.inner, self.leave = nn.Linear(WIDTH, WIDTH), GatedMLP(skips), nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return self.leave(self.inner(self.enter(x)))


PLAN = """mesh tp
tensor tp {{
    overlap: true
    enter           outputs(0: replicate -> shard({dim}))
    inner           inputs(0: shard({dim}) -> replicate)
    inner.gate      colwise
    inner.up        colwise
    inner.down      rowwise -> shard({dim})
    leave           inputs(0: shard({dim}) -> replicate)
}}
"""


class ObservingMode(TorchDispatchMode):
    """Looks on, and does nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def count_overlapped(min_bytes: int = 0) -> Iterator[list[int]]:
    """Counts the gathers during which products were computed; `min_bytes`: of the slices that are overlapped."""
    ran = [0]
    original = overlap.all_gather_matmul

    def counting(*args: Any) -> Any:
        ran[0] += 1
        return original(*args)

    with (
        mock.patch.object(overlap, "MIN_OVERLAP_BYTES", min_bytes),
        mock.patch.object(overlap, "all_gather_matmul", counting),
    ):
        yield ran


def overlapped_passes(
    shape: tuple[int, ...], dim: int, frozen: list[str], way: str = "plain"
) -> dict[str, Any]:
    """How far two passes are off, whose gradients are added up; and what is left behind."""
    torch.manual_seed(0)
    whole = Model(way == "skips")
    for name in frozen:
        whole.get_parameter(name).requires_grad_(requires_grad=False)
    ranks = torch.distributed.get_world_size()
    split, mesh = copy.deepcopy(whole), init_device_mesh("cpu", (ranks,), mesh_dim_names=("tp",))
    data = torch.randn(2, *shape)
    planc.parallelize(split, planc.parse(PLAN.format(dim=dim)), mesh, inputs=[data[0]])
    found: list[Tensor] = []
    with count_overlapped(1 << 30 if way == "small" else 0) as ran:
        for x in data:
            with (
                ObservingMode()
                if way == "seen"
                else torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast")
            ):
                y = split(x)
                found.append(y.detach())
                y.float().square().sum().backward()
    needed = [whole(x) for x in data]
    torch.stack(needed).square().sum().backward()
    off = [_relative_error(x, y) for x, y in zip(found, needed, strict=True)]
    pairs = list(zip(split.parameters(), whole.parameters(), strict=True))
    off += [_relative_error(p.grad.full_tensor(), q.grad) for p, q in pairs if q.grad is not None]  # type: ignore[union-attr]
    steps = [*ModuleRuntime.of(split.inner.gate).steps, *ModuleRuntime.of(split.inner.up).steps]
    linears = [step for step in steps if isinstance(step, overlap.OverlappedLinear)]
    assert linears
    return {
        "off": max(off),
        "gradients": all((p.grad is None) == (q.grad is None) for p, q in pairs),
        "ran": ran[0],
        "kept": any(step._product is not None for step in linears),
    }


def _relative_error(found: Tensor, needed: Tensor) -> float:
    return float((found.float() - needed).abs().max() / needed.abs().max().clamp(min=1e-9))
