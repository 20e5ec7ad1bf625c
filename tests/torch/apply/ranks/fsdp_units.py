"""Models that use the parameters of FSDP's units in and outside of the units, and what they compute on two ranks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.functional import linear
from torch.utils._pytree import tree_leaves

import planc

WIDTH, BATCH = 8, 4


class Layers(nn.Module):
    """Three layers, and a forward pass that a function defines."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b, self.c = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Block(nn.Module):
    """A layer and a router, and a forward pass that a function defines."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.up, self.router = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)
        self.scale = nn.Parameter(torch.ones(16, WIDTH))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)

    def project(self, x: Tensor) -> Tensor:
        return self.up(x)


class Blocks(nn.Module):
    """Two blocks, and a forward pass that a function defines."""

    def __init__(self, block: Callable[[Any, Tensor], Any], function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.blocks = nn.ModuleList(Block(block) for _ in range(2))
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


# ---- forward passes of Layers ----------------------------------------------------------


def plain(self: Any, x: Tensor) -> Tensor:
    return self.c(self.b(self.a(x).relu()).relu())


def by_forward(self: Any, x: Tensor) -> Tensor:
    return self.c(self.b.forward(self.a(x).relu()))


def weight_of_first(self: Any, x: Tensor) -> Tensor:
    return linear(self.c(self.b(self.a(x).relu())), self.a.weight)


def weight_between(self: Any, x: Tensor) -> Tensor:
    return self.c(self.b(linear(self.a(x), self.a.weight)).relu() * self.c.bias.sum())


def weight_before(self: Any, x: Tensor) -> Tensor:
    return self.c(self.b(self.a(linear(x, self.a.weight))))


def penalty_after(self: Any, x: Tensor) -> Tensor:
    return plain(self, x) + 0.01 * sum(p.square().sum() for p in self.parameters())


def penalty_before(self: Any, x: Tensor) -> Tensor:
    penalty = 0.01 * sum(p.square().sum() for p in self.parameters())
    return plain(self, x) + penalty


def shape_of_weight(self: Any, x: Tensor) -> Tensor:
    return plain(self, x).view(-1, self.a.weight.shape[0])


def layer_twice(self: Any, x: Tensor) -> Tensor:
    return self.c(self.a(self.b(self.a(x).relu())))


# ---- forward passes of Block and Blocks ------------------------------------------------


def auxiliary_after(self: Any, x: Tensor) -> Tensor:
    y = x + self.up(x).relu()
    self.loss = self.router(y).square().mean((1, 2))
    return y


def auxiliary_before(self: Any, x: Tensor) -> Tensor:
    self.loss = self.router(x).square().mean((1, 2))
    return x + self.up(x).relu()


def auxiliary_of_result(self: Any, x: Tensor) -> Tensor:
    y = x + self.up(x).relu()
    self.loss = y.square().mean((1, 2))
    return y


def auxiliary_detached(self: Any, x: Tensor) -> Tensor:
    y = auxiliary_after(self, x)
    self.loss = self.loss.detach()
    return y


def auxiliary_in_list(self: Any, x: Tensor) -> Tensor:
    y = x + self.up(x).relu()
    self.losses = [self.router(y).square().mean((1, 2))]
    self.loss = self.losses[0]
    return y


def keeps_result(self: Any, x: Tensor) -> Tensor:
    self.loss = self.router(self.up(x))
    return self.loss.mean(-1, keepdim=True) + x


def returns_view(self: Any, x: Tensor) -> Tensor:
    return self.scale[: x.size(1)]


def returns_copy(self: Any, x: Tensor) -> Tensor:
    return self.scale[: x.size(1)] * 1


def returns_rows(self: Any, x: Tensor) -> Tensor:
    return self.scale[torch.arange(x.size(1))]


def changes_argument(self: Any, x: Tensor) -> Tensor:
    x += 1
    return self.up(x) * self.scale[0]


def with_head_first(self: Any, x: Tensor) -> Tensor:
    return chained(self, self.head(x))


def reads_scale(self: Any, x: Tensor) -> Tensor:
    return self.up(x) * self.scale[0]


def reads_child(self: Any, x: Tensor) -> Tensor:
    return x + linear(self.up(x), self.up.weight) * self.scale[0]


def with_losses(self: Any, x: Tensor) -> Any:
    for block in self.blocks:
        x = block(x)
    return self.head(x), sum(block.loss for block in self.blocks)


def with_last(self: Any, x: Tensor) -> Any:
    for block in self.blocks:
        x = block(x)
    return self.head(x), self.blocks[1].loss.square()


def with_no_gradient(self: Any, x: Tensor) -> Any:
    y, loss = with_losses(self, x)
    return y, loss.detach()


def scaled(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = x * block(x)
    return self.head(x)


def chained(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = block(x)
    return self.head(x)


def projects(self: Any, x: Tensor) -> Tensor:
    return self.project(x)


def projects_flat(self: Any, x: Tensor) -> Tensor:
    return (self.up(x) * self.scale[0]).view(x.shape)


def returns_argument(self: Any, x: Tensor) -> Tensor:
    self.router(x)
    return x[:, :]


def changes_result(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = block(self.head(x))
        x += 1
    return self.head(x)


def changes_view_of_result(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = block(self.head(x))
        x.view(-1).mul_(2)
    return self.head(x)


def changes_detached_result(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = block(self.head(x))
        x.detach().mul_(2)
    return self.head(x)


def by_method(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        x = block(block.project(x))
    return self.head(x)


EACH, UNITS = ("a", "b", "c", "root"), ("blocks.*", "root")
Case = tuple[Callable[[], nn.Module], tuple[str, ...], str]
CASES: dict[str, Case] = {
    "units as they are meant": (lambda: Layers(plain), EACH, "proved"),
    "a layer called by its forward": (lambda: Layers(by_forward), EACH, "L715"),
    "a layer called by its forward, kept": (lambda: Layers(by_forward), ("b  keep", "root"), "L715"),
    "a layer called by its forward, in the root unit": (lambda: Layers(by_forward), ("a", "c", "root"), "proved"),
    "a weight of another unit": (lambda: Layers(weight_of_first), EACH, "L715"),
    "a weight of a unit that is kept": (lambda: Layers(weight_of_first), ("a  keep", "b", "c", "root"), "proved"),
    "a weight of the root's unit": (lambda: Layers(weight_of_first), ("b", "c", "root"), "proved"),
    "a weight between the modules of its unit": (lambda: Layers(weight_between), ("a + c", "b", "root"), "proved"),
    "a weight behind the modules of its unit": (lambda: Layers(weight_of_first), ("a + c", "root"), "L715"),
    "a weight before its unit runs": (lambda: Layers(weight_before), ("a  keep", "b", "root"), "L715"),
    "a penalty": (lambda: Layers(penalty_after), EACH, "L715"),
    "a penalty in the root's unit": (lambda: Layers(penalty_after), ("root",), "proved"),
    "a penalty on units that are kept": (lambda: Layers(penalty_after), ("{a,b,c}  keep", "root"), "proved"),
    "a penalty before they run": (lambda: Layers(penalty_before), ("{a,b,c}  keep", "root"), "L715"),
    "the shape of a weight": (lambda: Layers(shape_of_weight), EACH, "proved"),
    "a unit that runs twice": (lambda: Layers(layer_twice), EACH, "proved"),
    "a unit of two, one of which runs twice": (lambda: Layers(layer_twice), ("a + c", "b", "root"), "proved"),
    "a loss in an attribute": (lambda: Blocks(auxiliary_after, with_losses), UNITS, "L716"),
    "a loss in an attribute, kept": (lambda: Blocks(auxiliary_after, with_losses), ("blocks.*  keep", "root"), "proved"),
    "a loss of the last block": (lambda: Blocks(auxiliary_after, with_last), UNITS, "L716"),
    "a loss in a list": (lambda: Blocks(auxiliary_in_list, with_losses), UNITS, "L716"),
    "a loss that is older than the result": (lambda: Blocks(auxiliary_before, with_losses), UNITS, "proved"),
    "a loss of the result alone": (lambda: Blocks(auxiliary_of_result, with_losses), UNITS, "proved"),
    "a loss without a gradient": (lambda: Blocks(auxiliary_detached, with_losses), UNITS, "proved"),
    "a loss whose gradient nobody takes": (lambda: Blocks(auxiliary_after, with_no_gradient), UNITS, "proved"),
    "an operand of the result": (lambda: Blocks(keeps_result, with_last), UNITS, "proved"),
    "a layer and its router as units": (lambda: Blocks(auxiliary_after, with_losses), ("blocks.*.{up,router}", "root"), "proved"),
    "a view of a parameter": (lambda: Blocks(returns_view, scaled), UNITS, "L716"),
    "a view of a parameter, kept": (lambda: Blocks(returns_view, scaled), ("blocks.*  keep", "root"), "proved"),
    "a copy of a parameter": (lambda: Blocks(returns_copy, scaled), UNITS, "proved"),
    "rows of a parameter": (lambda: Blocks(returns_rows, scaled), UNITS, "proved"),
    "a child's weight in the same unit": (lambda: Blocks(reads_child, chained), UNITS, "proved"),
    "a child's weight in its own unit": (lambda: Blocks(reads_child, chained), ("blocks.*.up", *UNITS), "L715"),
    "an argument changed in place": (lambda: Blocks(changes_argument, with_head_first), UNITS, "L716"),
    "an argument changed in place, no unit": (lambda: Blocks(changes_argument, with_head_first), ("root",), "proved"),
    "a new result changed in place": (lambda: Blocks(reads_scale, changes_result), UNITS, "proved"),
    "a view of a new result changed in place": (lambda: Blocks(reads_scale, changes_view_of_result), UNITS, "proved"),
    "a product with a bias changed in place": (lambda: Blocks(projects, changes_result), UNITS, "L716"),
    "a product changed by a view": (lambda: Blocks(projects, changes_view_of_result), UNITS, "L716"),
    "a product changed in place, detached": (lambda: Blocks(projects, changes_detached_result), UNITS, "L716"),
    "a product changed in place, kept": (lambda: Blocks(projects, changes_result), ("blocks.*  keep", "root"), "proved"),
    "a product changed in place, no unit": (lambda: Blocks(projects, changes_result), ("root",), "proved"),
    "a view changed in place": (lambda: Blocks(projects_flat, changes_result), UNITS, "L716"),
    "a view of an argument changed in place": (lambda: Blocks(returns_argument, changes_result), UNITS, "L716"),
    "a helper method": (lambda: Blocks(reads_scale, by_method), UNITS, "L715"),
    "a helper method that calls units": (lambda: Blocks(reads_scale, by_method), ("blocks.*.up", *UNITS), "proved"),
}  # fmt: skip


def plan_of(units: tuple[str, ...]) -> str:
    """A plan that has these units."""
    return "plan units\nmesh dp\nfsdp dp {\n" + "".join(f"    {line}\n" for line in units) + "}\n"


def worst_errors(names: list[str]) -> dict[str, float]:
    """How far the outputs and gradients of two steps are off, for each case."""
    return {name: _worst_error(*CASES[name][:2]) for name in names}


def _worst_error(factory: Callable[[], nn.Module], units: tuple[str, ...]) -> float:
    torch.manual_seed(0)
    whole = factory()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("dp",))
    planc.parallelize(model, planc.parse(plan_of(units)), mesh, inputs=[torch.zeros(BATCH, 6, WIDTH)])
    worst = 0.0
    for step in range(2):
        x = torch.randn(BATCH, 6, WIDTH, generator=torch.Generator().manual_seed(step))
        needed, found = whole(x), model(x.chunk(2)[mesh.get_local_rank()])
        for output in (needed, found):
            losses = [t.square().mean() + t.mean() for t in tree_leaves(output) if t.requires_grad]
            torch.stack(losses).sum().backward()
        for a, b in zip(tree_leaves(needed), tree_leaves(found), strict=True):
            worst = max(worst, float((a.chunk(2)[mesh.get_local_rank()] - b).abs().max()))
        for a, b in zip(whole.parameters(), model.parameters(), strict=True):
            gradient = b.grad.full_tensor() if isinstance(b.grad, DTensor) else b.grad
            assert (a.grad is None) == (gradient is None)
            if a.grad is not None:
                worst = max(worst, float((a.grad - gradient).abs().max()))
                a.data -= 0.01 * a.grad
                b.data -= 0.01 * b.grad
            a.grad = b.grad = None
    return worst
