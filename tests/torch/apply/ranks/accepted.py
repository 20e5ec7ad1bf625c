"""A model with BatchNorm under a plan that accepts it, and one that returns its mean loss."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn import functional

import planc
from planc.torch.apply.full_tensor import full_tensor

NORMED = """mesh dp
accept L709 at **:BatchNorm1d "statistics of each rank's own batch, as DDP has them"
fsdp dp { root }
"""
PLAIN = "mesh dp\nfsdp dp { root }\n"
ROWS, WIDTH, CLASSES = 8, 6, 5


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.head = (
            nn.Linear(WIDTH, WIDTH),
            nn.BatchNorm1d(WIDTH),
            nn.Linear(WIDTH, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.up(x)).relu())


class WithLoss(nn.Module):
    """Its loss is a mean over the batch, of rows that count differently."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(self.up(x).tanh())
        return logits, functional.cross_entropy(logits, targets) + 0.1 * logits.square().mean()


def _largest_error(model: nn.Module, expected: dict[str, Tensor]) -> float:
    """Of the gradients, relative to the largest of each."""
    found = {
        name: full_tensor(param.grad) for name, param in model.named_parameters() if param.grad is not None
    }
    assert set(found) == set(expected)
    return max(
        float((found[n] - expected[n]).abs().max() / expected[n].abs().max().clamp(min=1e-3))
        for n in expected
    )


def train_batch_norm() -> dict[str, Any]:
    """The gradients of a step against the mean of those of the unsplit model on each rank's rows."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model, x = Normed(), torch.randn(ROWS, WIDTH)
    parts, unsplit = x.chunk(ranks), copy.deepcopy(model)
    for part in parts:
        unsplit(part).square().mean().div(ranks).backward()
    expected = {name: param.grad for name, param in unsplit.named_parameters() if param.grad is not None}
    mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("dp",))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        planc.parallelize(model, planc.parse(NORMED), mesh, inputs=[x])
    model(parts[rank]).square().mean().backward()
    said = [str(each.message) for each in caught if "accepted" in str(each.message)]
    return {"error": _largest_error(model, expected), "said": said}


def train_mean_loss() -> dict[str, Any]:
    """The loss and the gradients of a step against those of the unsplit model on all rows."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model, x, targets = WithLoss(), torch.randn(ROWS, WIDTH), torch.arange(ROWS).square() % CLASSES
    unsplit = copy.deepcopy(model)
    loss = unsplit(x, targets)[1]
    loss.backward()
    expected = {name: param.grad for name, param in unsplit.named_parameters() if param.grad is not None}
    mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("dp",))
    planc.parallelize(model, planc.parse(PLAIN), mesh, inputs=[x, targets])
    own = model(x.chunk(ranks)[rank], targets.chunk(ranks)[rank])[1]
    own.backward()
    mean = own.detach().clone()
    dist.all_reduce(mean)
    left_out = targets.chunk(ranks)[rank].clone()
    left_out[0] = -100
    try:
        model(x.chunk(ranks)[rank], left_out)
        refusal = ""
    except planc.CallError as error:
        refusal = str(error)
    return {
        "error": _largest_error(model, expected),
        "loss": abs(float(mean) / ranks - float(loss)),
        "differs": abs(float(own) - float(loss)),
        "refusal": refusal,
    }
