"""Gradients of replicated parameters whose parts the ranks of a tensor axis hold: 256 on the first rank, 1 on others."""

from __future__ import annotations

from contextlib import nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from planc.torch.train.no_sync import no_sync
from tests.torch.apply.ranks.compiled import compile_enabled

WIDTH = 4


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.up(x))


class _Net(nn.Module):
    """Its first token weighs 256, and each other one 1: so does its part of the gradient of `norm.bias`."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.block = _Block()
        weights = torch.ones(1, tokens, 1)
        weights[:, 0] = 256
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) * self.weights


def bias_gradient(
    sizes: dict[str, int],
    settings: list[str],
    *,
    micro: int = 1,
    syncs: bool = True,
    dtype: str = "float32",
    more: str = "",
    compiled: bool = False,
) -> list[float]:
    """The gradient of the norm's bias, summed over `micro` batches of one sample a data rank."""
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    tensor_axes = [axis for axis in ("tp", "cp") if axis in sizes]
    parts = prod(size for axis, size in sizes.items() if axis not in tensor_axes)
    tokens = prod(sizes[axis] for axis in tensor_axes)
    torch.manual_seed(0)
    model = _Net(tokens).to(getattr(torch, dtype))
    text = f"plan toy\nmesh {', '.join(sizes)}\n"
    for axis in tensor_axes:
        text += f"tensor {axis} {{\n    block.norm   sequence   replicate -> replicate\n}}\n"
    units = "\n    ".join([*settings, "block", "root"])
    text += f"fsdp dp{' replicate pod' if 'pod' in sizes else ''} {{\n    {units}\n}}\n{more}"
    example = torch.zeros(2 * parts, tokens, WIDTH, dtype=getattr(torch, dtype))
    planc.parallelize(model, planc.parse(text), mesh, inputs=[example])
    with compile_enabled() if compiled else nullcontext():
        _accumulate(model, micro, syncs, example)
    gradient: Any = model.block.norm.bias.grad
    assert isinstance(gradient, DTensor)
    assert gradient.dtype == example.dtype
    return gradient.full_tensor().tolist()


def _accumulate(model: nn.Module, micro: int, syncs: bool, example: Tensor) -> None:
    for number in range(micro):
        with no_sync(model, enabled=not syncs and number < micro - 1):
            model(torch.randn_like(example[:1])).float().sum().backward()
