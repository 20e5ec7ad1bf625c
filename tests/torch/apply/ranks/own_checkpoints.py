"""Models that checkpoint functions of their own, and what they compute on ranks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import planc

WIDTH, LENGTH, ROWS, BATCH = 8, 6, 12, 4


class Block(nn.Module):
    """A layer whose forward pass a function defines."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.norm, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)
        self.drop, self.gamma = nn.Dropout(0.0), nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)

    def inner(self, x: Tensor) -> Tensor:
        """Code with a parameter of the block itself."""
        hidden = self.drop(self.up(self.norm(x)).relu())
        return self.gamma * dropout(self.down(hidden * hidden.sigmoid()), self.drop.p) * self.gamma


class Net(nn.Module):
    """A table, blocks, and a forward pass that a function defines."""

    def __init__(
        self, block: Callable[[Any, Tensor], Tensor], function: Callable[[Any, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.function = function
        self.table = nn.Embedding(ROWS, WIDTH)
        self.blocks = nn.ModuleList(Block(block) for _ in range(2))
        self.scale, self.head = nn.Parameter(torch.randn(WIDTH)), nn.Linear(WIDTH, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.function(self, ids)

    def first(self, ids: Tensor) -> Tensor:
        """Code with a parameter of the model and one of a layer."""
        return self.table(ids) * self.scale.sigmoid() * self.head.bias.tanh()


# ---- blocks ----------------------------------------------------------------------------


def plain_block(self: Any, x: Tensor) -> Tensor:
    return x + self.inner(x)


def method(self: Any, x: Tensor, *, use_reentrant: bool) -> Tensor:
    return x + checkpoint(self.inner, x, use_reentrant=use_reentrant)


def twice(self: Any, x: Tensor, *, use_reentrant: bool) -> Tensor:
    """The same parameters, by two functions."""
    for _ in range(2):
        x = x + checkpoint(lambda y: self.inner(y).sin(), x, use_reentrant=use_reentrant)
    return x * self.gamma


def nested(self: Any, x: Tensor, *, use_reentrant: bool) -> Tensor:
    def outer(y: Tensor) -> Tensor:
        y = y * self.gamma.tanh()
        return y + checkpoint(self.inner, y.cos(), use_reentrant=use_reentrant)

    return checkpoint(outer, x, use_reentrant=use_reentrant)


# ---- models ----------------------------------------------------------------------------


def plain(self: Any, ids: Tensor) -> Tensor:
    x = self.first(ids)
    for block in self.blocks:
        x = block(x)
    return self.head(x)


def module_calls(self: Any, ids: Tensor, *, use_reentrant: bool) -> Tensor:
    x = self.first(ids)
    for block in self.blocks:
        x = checkpoint(block, x, use_reentrant=use_reentrant)
    return self.head(x)


def all_blocks(self: Any, ids: Tensor, *, use_reentrant: bool) -> Tensor:
    def blocks(x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x * self.scale.tanh())
        return x

    return self.head(checkpoint(blocks, self.first(ids), use_reentrant=use_reentrant))


def sequential(self: Any, ids: Tensor, *, use_reentrant: bool) -> Tensor:
    found: Any = checkpoint_sequential(list(self.blocks), 2, self.first(ids), use_reentrant=use_reentrant)
    return self.head(found)


def lookup(self: Any, ids: Tensor) -> Tensor:
    x = checkpoint(self.first, ids, use_reentrant=False)
    for block in self.blocks:
        x = block(x)
    return self.head(x)


def lookup_without_gradient(self: Any, ids: Tensor) -> Tensor:
    """No argument has a gradient: torch computes none for the parameters of the function."""
    x = checkpoint(self.first, ids, use_reentrant=True)
    for block in self.blocks:
        x = block(x)
    return self.head(x)


SPLIT = """tensor tp {
    table            rowwise
    blocks.*.up      colwise
    blocks.*.down    rowwise
}
"""
SEQUENCE = """tensor tp {
    table            rowwise
    blocks.0         sequence  replicate -> shard(1)
    blocks.1         sequence
    blocks.*.norm    sequence
    blocks.*.up      colwise  shard(1) ->
    blocks.*.down    rowwise  -> shard(1)
    head             inputs(0: shard(1) -> replicate)
}
"""
UNITS = "fsdp dp {\n    blocks.*\n    root\n}\n"
ONE_UNIT = "fsdp dp {\n    root\n}\n"
TP, DP, BOTH = {"dp": 1, "tp": 2}, {"dp": 2, "tp": 1}, {"dp": 2, "tp": 2}
PLANS: dict[str, tuple[dict[str, int], str]] = {
    "split": (TP, SPLIT),
    "split, recomputed": (TP, SPLIT + "recompute { blocks.* }\n"),
    "sequence": (TP, SEQUENCE),
    "units": (DP, UNITS),
    "one unit": (DP, ONE_UNIT),
    "split units": (BOTH, SPLIT + UNITS),
}
Factory = Callable[[], Net]
MODELS: dict[str, Factory] = {
    f"{name}, {'reentrant' if use_reentrant else 'not reentrant'}": partial(
        Net,
        partial(function, use_reentrant=use_reentrant) if is_block else plain_block,
        plain if is_block else partial(function, use_reentrant=use_reentrant),
    )
    for name, function, is_block in (
        ("a method", method, True),
        ("a lambda, twice", twice, True),
        ("nested", nested, True),
        ("modules", module_calls, False),
        ("a function of the model", all_blocks, False),
        ("segments", sequential, False),
    )
    for use_reentrant in (False, True)
}  # fmt: skip
MODELS["a lookup, not reentrant"] = partial(Net, plain_block, lookup)
MODELS["a lookup without a gradient, reentrant"] = partial(Net, plain_block, lookup_without_gradient)


def _ids(step: int = 0) -> Tensor:
    return torch.randint(0, ROWS, (BATCH, LENGTH), generator=torch.Generator().manual_seed(step))


def _applied(model: nn.Module, plan: str) -> tuple[nn.Module, Any]:
    sizes, lines = PLANS[plan]
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    lines = "plan own\nmesh dp, tp\n" + lines
    planc.parallelize(model, planc.parse(lines), mesh, inputs=[torch.zeros(BATCH, LENGTH, dtype=torch.long)])
    return model, mesh


def worst_errors(names: list[str], plan: str) -> dict[str, float]:
    """How far outputs and gradients of two steps are off from those of the unsplit model, for each model."""
    return {name: _worst_error(MODELS[name], plan) for name in names}


def _worst_error(factory: Factory, plan: str) -> float:
    torch.manual_seed(0)
    whole = factory().double()  # rounding hides nothing
    model, mesh = _applied(copy.deepcopy(whole), plan)
    size, rank = mesh["dp"].size(), mesh["dp"].get_local_rank()
    worst = 0.0
    for step in range(2):
        needed, found = whole(_ids(step)), model(_ids(step).chunk(size)[rank])
        needed.square().mean().backward()
        found.square().mean().backward()
        worst = max(worst, _error(needed.chunk(size)[rank], found))
        for a, b in zip(whole.parameters(), model.parameters(), strict=True):
            gradient = b.grad.full_tensor() if isinstance(b.grad, DTensor) else b.grad
            assert (a.grad is None) == (gradient is None)
            if a.grad is not None:
                worst = max(worst, _error(a.grad, gradient))
            a.grad = b.grad = None
    return worst


def _error(needed: Tensor, found: Tensor) -> float:
    """The largest difference, as a part of the largest number."""
    return float((needed - found).abs().max() / needed.abs().max())


def dropout_errors(names: list[str], plan: str) -> dict[str, float]:
    """With dropout: how far gradients are off from those of the same split model without checkpoints."""
    return {name: _dropout_error(MODELS[name], plan) for name in names}


def _dropout_error(factory: Factory, plan: str) -> float:
    torch.manual_seed(0)
    plain_model, model = Net(plain_block, plain).double(), factory().double()
    model.load_state_dict(plain_model.state_dict())
    grads = []
    for each in (plain_model, model):
        for block in each.blocks:
            block.drop.p = 0.4
        applied, mesh = _applied(each, plan)
        torch.manual_seed(5)
        applied(_ids().chunk(mesh["dp"].size())[mesh["dp"].get_local_rank()]).square().mean().backward()
        grads.append([getattr(p.grad, "_local_tensor", p.grad) for p in applied.parameters()])
    return max(_error(a, b) for a, b in zip(*grads, strict=True))
