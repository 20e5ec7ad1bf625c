"""A module that draws for sharded values in one call and for replicated ones in the next, and passes that end early."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

import planc
from tests.torch.apply.ranks.dropout import MaskRecorder

WIDTH = 64


class Block(nn.Module):
    """Two layers, and one dropout after both."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.drop = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.down(self.drop(self.up(x))))  # type: ignore[no-any-return]


class Net(nn.Module):
    """Two blocks with one dropout for all."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.blocks[1].drop = self.blocks[0].drop

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


class EndsEarlyError(Exception):
    """Raised by a hook."""


def passes(recompute: bool) -> list[list[bool]]:
    """For each pass whether the ranks drew alike, mask for mask; passes that end early lie between them."""
    torch.manual_seed(0)
    model = Net()
    x = torch.randn(4, WIDTH)
    lines = "plan streams\nmesh tp\ntensor tp {\n blocks.*.up colwise\n blocks.*.down rowwise\n}\n"
    lines += "recompute {\n blocks.*\n}\n" if recompute else ""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("tp",))
    planc.parallelize(model, planc.parse(lines), mesh, inputs=[x])
    torch.manual_seed(7)
    drawn = [_masks(model, x)]
    for end_at in (model.blocks[0].down, model.blocks[1].up, model.blocks[1].down):
        _end_early(model, x, end_at)
        drawn.append(_masks(model, x))
        model.eval()
        with torch.no_grad():
            model(x)
        model.train()
    every: Any = [None] * dist.get_world_size()
    dist.all_gather_object(every, drawn)
    for masks in every:
        flat = [mask for drawn in masks for mask in drawn[:4]]
        assert not any(a.shape == b.shape and torch.equal(a, b) for i, a in enumerate(flat) for b in flat[:i])
    return [
        [
            all(own.shape == one.shape and torch.equal(own, one) for own in others)
            for one, *others in zip(*each)
        ]
        for each in zip(*every)
    ]


def _masks(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The masks of a step; those of the forward pass, and then of what is recomputed."""
    with MaskRecorder() as recorder:
        model(x).sum().backward()
    return recorder.masks


def _end_early(model: nn.Module, x: Tensor, at: Any) -> None:
    def stop(*_: Any) -> None:
        raise EndsEarlyError

    handle = at.register_forward_pre_hook(stop)
    try:
        model(x)
    except EndsEarlyError:
        handle.remove()
