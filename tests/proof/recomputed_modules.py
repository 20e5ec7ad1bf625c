"""Blocks that run once or twice, and models of two of them: does recomputation change what they compute?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, one_hot
from torch.utils.checkpoint import checkpoint

from planc.ir.record import Record

WIDTH, BATCH, LENGTH = 8, 4, 6
Forward = Callable[[Any, Any], Any]


class Block(nn.Module):
    """Layers and buffers for a forward pass that a function defines."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm, self.spectral = nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mean", torch.ones(WIDTH))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


class Model(nn.Module):
    """A layer, two blocks, a layer, and a buffer of its own."""

    def __init__(self, block: Callable[..., Any], function: Forward) -> None:
        super().__init__()
        self.function = function
        self.stem, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(Block(block) for _ in range(2))
        self.register_buffer("step", torch.ones(1))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


# ---- what a block does -------------------------------------------------------------------------


def plain(self: Any, x: Tensor) -> Tensor:
    return x + self.down(self.up(x).relu())


def shifted(self: Any, x: Tensor) -> Tensor:
    return plain(self, x + 0.5)


def in_place_argument(self: Any, x: Tensor) -> Tensor:
    x *= 0.5
    return plain(self, x)


def in_place_view(self: Any, x: Tensor) -> Tensor:
    x.view(-1, WIDTH)[0].mul_(2.0)
    return plain(self, x)


def in_place_relu(self: Any, x: Tensor) -> Tensor:
    return self.down(self.up(nn.functional.relu(x, inplace=True)))


def zeroed_argument(self: Any, x: Tensor) -> Tensor:
    y = self.up(x.clone())
    x.zero_()
    return y + self.down(x)


def overwritten_argument(self: Any, x: Tensor) -> Tensor:
    x.fill_(0.25)
    return self.up(x) * 2.0


def filled_cache(self: Any, x: Tensor, cache: Tensor) -> Tensor:
    cache.copy_(x.detach().abs())
    return plain(self, x) + cache


def filled_cache_in_tuple(self: Any, x: Tensor, caches: tuple[Tensor]) -> Tensor:
    return filled_cache(self, x, caches[0])


def updated_cache(self: Any, x: Tensor, cache: Tensor) -> Tensor:
    cache.add_(x.detach().abs())
    return plain(self, x * cache)


def in_place_tuple(self: Any, state: tuple[Tensor, Tensor]) -> Tensor:
    x, gate = state
    gate *= 0.5
    return plain(self, x * gate)


def in_place_own(self: Any, x: Tensor) -> Tensor:
    y = self.up(x)
    y.mul_(2.0).add_(1.0)
    return x + self.down(y.relu_())


def in_place_copy(self: Any, x: Tensor) -> Tensor:
    y = x.transpose(0, 1).contiguous().mul_(2.0)
    return x + self.down(y.transpose(0, 1))


def running_mean(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        self.mean.mul_(0.9).add_(x.abs().mean((0, 1)), alpha=0.1)
    return plain(self, x / self.mean)


def running_mean_after(self: Any, x: Tensor) -> Tensor:
    y = plain(self, x + self.mean)
    with torch.no_grad():
        self.mean.mul_(0.9).add_(x.abs().mean((0, 1)), alpha=0.1)
    return y


def assigned_mean(self: Any, x: Tensor) -> Tensor:
    self.mean = 0.9 * self.mean + 0.1 * x.detach().abs().mean((0, 1))
    return plain(self, x / self.mean)


def overwritten_buffer(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        self.mean.copy_(x.abs().mean((0, 1)))
    return plain(self, x + self.mean)


def overwritten_in_part(self: Any, x: Tensor) -> Tensor:
    self.mean[:4] = x.detach().abs().mean((0, 1))[:4]
    return plain(self, x / self.mean)


def read_then_overwritten(self: Any, x: Tensor) -> Tensor:
    y = plain(self, x + self.mean)
    self.mean[:] = x.detach().abs().mean((0, 1))
    return y


def router_bias(self: Any, x: Tensor) -> Tensor:
    scores = self.up(x)[..., :4].sigmoid()
    chosen = one_hot((scores + self.seen).topk(2, -1).indices, 4).sum(-2).to(x.dtype)
    with torch.no_grad():
        load = chosen.sum((0, 1))
        self.seen.add_((load.mean() - load).sign(), alpha=0.1)
    return x * (scores * chosen).sum(-1, keepdim=True)


def counted_load(self: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        self.seen.add_(x[..., :4].abs().sum((0, 1)))
    return plain(self, x)


def batch_norm(self: Any, x: Tensor) -> Tensor:
    return plain(self, self.norm(x.transpose(1, 2)).transpose(1, 2))


def with_dropout(self: Any, x: Tensor) -> Tensor:
    return plain(self, dropout(x, 0.5, training=True))


def auxiliary(self: Any, x: Tensor) -> Tensor:
    y = self.up(x)
    self.loss = y.square().mean()
    return x + self.down(y)


# ---- what the model does -----------------------------------------------------------------------


def in_a_row(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        x = block(x)
    return self.head(x)


def with_cache(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        x = block(x, torch.zeros(BATCH, LENGTH, WIDTH))
    return self.head(x)


def with_caches(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        x = block(x, (torch.zeros(BATCH, LENGTH, WIDTH),))
    return self.head(x)


def with_gate(self: Any, x: Tensor) -> Tensor:
    x, gate = self.stem(x), self.head(x)
    for block in self.blocks:
        x = block((x, gate + 0.0))
    return x


def added_in_place(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x).detach()
    for block in self.blocks:
        y = block(x)
        x += y.detach()
    return self.head(x.clone()) + y


def changed_copy(self: Any, x: Tensor) -> Tensor:
    y = self.stem(x)
    z = self.blocks[1](self.blocks[0](y))
    z.mul_(2.0)
    return self.head(z)


def one_block_twice(self: Any, x: Tensor) -> Tensor:
    return self.head(self.blocks[0](self.blocks[0](self.stem(x))))


def scaled_by_step(self: Any, x: Tensor) -> Tensor:
    return x + self.down(self.up(x) + self.step)


def steps(self: Any, x: Tensor) -> Tensor:
    x = in_a_row(self, x)
    self.step.add_(1.0)
    return x


class Case(Record):
    """A model, and whether planc proves that its blocks can be recomputed."""

    block: Callable[..., Any]
    function: Forward = in_a_row
    verdict: str = "refuted"
    shares: str = ""
    """A buffer of the model that the blocks hold, too."""

    def model(self) -> Model:
        """The model, with the same numbers each time."""
        torch.manual_seed(0)
        model = Model(self.block, self.function)
        for block in model.blocks if self.shares else ():
            block.register_buffer(self.shares, getattr(model, self.shares))
        return model


CASES = {
    "plain": Case(plain, verdict="proved"),
    "argument in place": Case(in_place_argument),
    "view of an argument in place": Case(in_place_view),
    "relu in place": Case(in_place_relu),
    "argument set to zero": Case(zeroed_argument),
    "argument overwritten": Case(overwritten_argument),
    "cache filled": Case(filled_cache, with_cache),
    "cache filled in a tuple": Case(filled_cache_in_tuple, with_caches, verdict="proved"),
    "cache updated": Case(updated_cache, with_cache),
    "argument in place in a tuple": Case(in_place_tuple, with_gate),
    "own value in place": Case(in_place_own, verdict="proved"),
    "own copy in place": Case(in_place_copy, verdict="proved"),
    "running mean": Case(running_mean),
    "running mean after its use": Case(running_mean_after),
    "assigned running mean": Case(assigned_mean),
    "buffer overwritten": Case(overwritten_buffer, verdict="proved"),
    "buffer overwritten in part": Case(overwritten_in_part, verdict="proved"),
    "buffer read, then overwritten": Case(read_then_overwritten),
    "buffer overwritten by two calls": Case(overwritten_buffer, one_block_twice),
    "router's bias": Case(router_bias),
    "counted load": Case(counted_load),
    "batch norm": Case(batch_norm),
    "dropout": Case(with_dropout, verdict="proved"),
    "argument changed by the model": Case(shifted, added_in_place),
    "result changed by the model": Case(plain, changed_copy, verdict="proved"),
    "buffer changed by the model": Case(scaled_by_step, steps, shares="step"),
}


# ---- numbers -----------------------------------------------------------------------------------


def step_numbers(model: Model, *, recomputed: bool) -> list[Tensor]:
    """The results, gradients and buffers of two steps."""
    model = copy.deepcopy(model)
    for block in model.blocks if recomputed else ():
        block.forward = _checkpointed(block.forward)
    found: list[Tensor] = []
    torch.manual_seed(1)
    for _ in range(2):
        result = model(torch.randn(BATCH, LENGTH, WIDTH))
        result.square().mean().backward()
        found.append(result.detach())
    found += [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [*found, *(buffer.clone() for buffer in model.buffers())]


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False)

    return run


def recomputation_error(model: Model) -> float:
    """How far recomputation moves any number; infinite where it raises."""
    whole = step_numbers(model, recomputed=False)
    try:
        found = step_numbers(model, recomputed=True)
    except Exception:  # noqa: BLE001  # torch refuses in several ways
        return float("inf")
    return max(float((a - b).abs().max()) for a, b in zip(whole, found, strict=True))
