"""Models that change in place what a boundary gave them, or give a boundary a tensor of an unusual kind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

import planc

WIDTH = 8


class Block(nn.Module):
    """A layer split by columns and one split by rows, and what a function makes of them."""

    def __init__(self, forward: Callable[[Block, Tensor], Any]) -> None:
        super().__init__()
        self.function = forward
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Net(nn.Module):
    """A layer, a norm, a block and another layer, and what a function makes of them."""

    def __init__(
        self, forward: Callable[[Net, Tensor], Tensor], block: Callable[[Block, Tensor], Any]
    ) -> None:
        super().__init__()
        self.function = forward
        self.first, self.norm, self.last = (
            nn.Linear(WIDTH, WIDTH),
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, WIDTH),
        )
        self.block = Block(block)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Example(NamedTuple):
    """A model and its plan."""

    forward: Callable[[Any, Tensor], Tensor]
    block: Callable[[Any, Tensor], Any]
    plan: str
    batch: int = 1


def _mlp(block: Block, x: Tensor) -> Tensor:
    return block.down(block.up(x).relu())


def _doubled_mlp(block: Block, x: Tensor) -> Tensor:
    x.mul_(2)
    return _mlp(block, x)


def _row_doubled_mlp(block: Block, x: Tensor) -> Tensor:
    row = x[:, 0]
    row.mul_(2)
    return _mlp(block, x)


def _nested_mlp(block: Block, x: Tensor) -> Tensor:
    return _mlp(block, nn.functional.relu(x.view(-1, WIDTH), inplace=True).view(x.shape))


def _as_complex(block: Block, x: Tensor) -> Tensor:
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def _is_positive(block: Block, x: Tensor) -> Tensor:
    return x > 0


def _through_block(net: Net, x: Tensor) -> Tensor:
    return net.last(net.block(net.first(x)))


def _before_norm(net: Net, x: Tensor) -> Tensor:
    x = net.first(x)
    x += 1.0
    return net.last(net.norm(x))


def _after_norm(net: Net, x: Tensor) -> Tensor:
    x = net.norm(net.first(x))
    x *= 2.0
    return net.last(x)


def _row_after_norm(net: Net, x: Tensor) -> Tensor:
    x = net.norm(net.first(x))
    row = x[0, 1]
    row.zero_()
    return net.last(x)


def _flat_after_norm(net: Net, x: Tensor) -> Tensor:
    x = net.norm(net.first(x))
    flat = x.reshape(-1, WIDTH)
    flat *= 2.0
    return net.last(flat).view(x.shape)


def _both_rows_doubled_mlp(block: Block, x: Tensor) -> Tensor:
    first = x[:, 0]
    x.mul_(2)
    return _mlp(block, x) + first.unsqueeze(1)


def _rotated(net: Net, x: Tensor) -> Tensor:
    rotated = net.block(net.norm(net.first(x)))
    rotated *= 2.0
    return net.last(torch.view_as_real(rotated).flatten(-2))


def _masked(net: Net, x: Tensor) -> Tensor:
    x = net.first(x)
    return net.last(x * net.block(net.norm(x)).logical_not_())


def _averaged(net: Net, x: Tensor) -> Tensor:
    """The gradient that comes back to the norm has strides of zero."""
    return net.norm(net.first(x)).mean((0, 1)) + net.last(x)


SLICED = "first outputs(0: replicate -> shard(1))\n norm sequence\n last colwise shard(1) -> replicate"
GATHERED = "norm sequence replicate -> replicate\n last colwise -> replicate"
INNER = "norm sequence replicate -> shard(1)\n block outputs(0: shard(1) -> replicate)\n last colwise -> replicate"
SPLIT = "block inputs(0: replicate -> replicate)\n block.up colwise\n block.down rowwise"
MODELS = {
    "a slice": Example(_before_norm, _mlp, SLICED),
    "a slice, of some": Example(_before_norm, _mlp, SLICED, batch=3),
    "a gathered one": Example(_after_norm, _mlp, GATHERED),
    "a gathered one, of some": Example(_after_norm, _mlp, GATHERED, batch=3),
    "a row of a gathered one": Example(_row_after_norm, _mlp, GATHERED),
    "a view of a gathered one": Example(_flat_after_norm, _mlp, GATHERED, batch=3),
    "an argument, and a row of it": Example(_through_block, _both_rows_doubled_mlp, SPLIT, batch=3),
    "a sum": Example(lambda net, x: net.last(net.block(x).mul_(2)), _mlp, SPLIT),
    "an argument": Example(_through_block, _doubled_mlp, SPLIT),
    "a row of an argument": Example(_through_block, _row_doubled_mlp, SPLIT, batch=3),
    "an argument, by its shape": Example(_through_block, _nested_mlp, SPLIT),
    "complex": Example(_rotated, _as_complex, INNER, batch=3),
    "complex, batch of one": Example(_rotated, _as_complex, INNER),
    "a mask": Example(_masked, _is_positive, INNER, batch=3),
    "a mask, batch of one": Example(_masked, _is_positive, INNER),
    "expanded gradients": Example(_averaged, _mlp, GATHERED, batch=3),
}  # fmt: skip


def errors_of(name: str) -> list[float]:
    """How far the output and the worst gradient of a split model are off."""
    torch.manual_seed(1)
    example = MODELS[name]
    whole = Net(example.forward, example.block).double()
    model = copy.deepcopy(whole)
    x = torch.randn(example.batch, 4, WIDTH, dtype=torch.float64)
    plan = planc.parse(f"plan values\nmesh tp\ntensor tp {{\n {example.plan}\n}}\n")
    planc.parallelize(model, plan, init_device_mesh("cpu", (2,), mesh_dim_names=("tp",)), inputs=[x.clone()])
    outputs = []
    for net in (whole, model):
        outputs.append(net(x.clone()))
        outputs[-1].square().sum().backward()
    grads = [
        float((split.grad.full_tensor() - own.grad).abs().max())
        for own, split in zip(whole.parameters(), model.parameters(), strict=True)
        if own.grad is not None
    ]
    return [float((outputs[1] - outputs[0]).detach().abs().max()), max(grads)]
