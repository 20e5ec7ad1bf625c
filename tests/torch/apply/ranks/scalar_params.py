"""A model with parameters without dims: one in a unit of its own, one in the root, read from both."""

from __future__ import annotations

import copy
from collections import Counter
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from planc.torch.apply.module_graph import capture_module
from planc.torch.train.grad_norm import clip_grad_norm
from tests.torch.apply.ranks.collectives_vs_forecast import (
    CollectiveCounter,
    CollectiveRecord,
    _forecast,
    _mismatches,
)

WIDTH, ROWS = 8, 8
TENSOR = "tensor tp {\n    block.up colwise\n    block.down rowwise\n}\n"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.gate = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return x + self.gate * self.down(torch.relu(self.up(x))) * scale


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Block(), nn.Linear(WIDTH, 3)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(x, self.scale)) * self.scale.exp() + self.block.gate


def _plan(sizes: dict[str, int], axes: str, settings: str) -> str:
    tensor = TENSOR if "tp" in sizes else ""
    return f"mesh {', '.join(sizes)}\n{tensor}fsdp {axes} {{\n{settings}    block\n    root\n}}\n"


def train(sizes: dict[str, int], axes: str, micro: int, settings: str = "") -> dict[str, Any]:
    """The largest errors of gradients and their norm, and of weights after three clipped steps; what FSDP left full; and
    collectives that the forecast did not have."""
    torch.manual_seed(0)
    whole = Scaled()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    plan = planc.parse(_plan(sizes, axes, settings))
    planc.parallelize(model, plan, mesh, inputs=[torch.zeros(ROWS, WIDTH)])
    part, parts = 0, prod(size for axis, size in sizes.items() if axis != "tp")
    for axis, size in sizes.items():
        if axis != "tp":
            part = part * size + mesh[axis].get_local_rank()
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2, eps=1e-3) for m in (whole, model)]
    errors = {"gradient": 0.0, "norm": 0.0, "weight": 0.0}
    needed = dict(whole.named_parameters())
    for step in range(3):
        x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        whole(x).square().mean().backward()
        for number, piece in enumerate(x.chunk(parts)[part].chunk(micro)):
            model.set_requires_gradient_sync(number == micro - 1)
            (model(piece).square().mean() / micro).backward()
        for name, item in model.named_parameters():
            errors["gradient"] = max(errors["gradient"], _error(item.grad, needed[name].grad))
        norms = [clip_grad_norm(m.parameters(), 0.1) for m in (whole, model)]
        errors["norm"] = max(errors["norm"], _error(norms[1], norms[0]))
        for optimizer in optimizers:
            optimizer.step()
    for name, item in model.named_parameters():
        errors["weight"] = max(errors["weight"], _error(item.detach(), needed[name].detach()))
    full = sorted(name for name, item in model.named_parameters() if not item.ndim)
    ran: Counter[CollectiveRecord] = Counter()
    with CollectiveCounter(mesh, "forward", ran):
        loss = model(torch.zeros(ROWS // parts, WIDTH)).square().mean()
    with CollectiveCounter(mesh, "backward", ran):
        loss.backward()
    graph = capture_module(Scaled(), [torch.zeros(ROWS, WIDTH)])
    predicted = _forecast(planc.check(plan, mesh=sizes, model=graph), parts)
    return errors | {"full": full, "unforeseen": _mismatches(ran, *predicted)}


def _error(got: Tensor, needed: Tensor) -> float:
    got = got.full_tensor() if isinstance(got, DTensor) else got
    assert got.shape == needed.shape
    return float((got - needed).abs().max() / needed.abs().max())
