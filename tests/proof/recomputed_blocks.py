"""What blocks may do to memory and to state, for the tests of recomputation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, one_hot
from torch.nn.utils.parametrizations import spectral_norm

WIDTH, BATCH, LENGTH = 8, 4, 6
Forward = Callable[[Any, Any], Any]


class Block(nn.Module):
    """Layers and buffers for a forward pass that a function defines."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.calls = function, 0
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm, self.spectral = nn.BatchNorm1d(WIDTH), spectral_norm(nn.Linear(WIDTH, WIDTH))
        self.instance_norm = nn.InstanceNorm1d(WIDTH, track_running_stats=True)
        self.register_buffer("mean", torch.ones(WIDTH))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


# ---- what a block does -------------------------------------------------------------------------


def plain(self: Any, x: Tensor) -> Tensor:
    return x + self.down(self.up(x).relu())


def shifted(self: Any, x: Tensor) -> Tensor:
    return plain(self, x + 0.5)


def in_place_argument(self: Any, x: Tensor) -> Tensor:
    x *= 0.5
    return plain(self, x)


def changed_last(self: Any, x: Tensor) -> Tensor:
    y = self.down(self.up(1.5 * x).relu())
    x[0].tanh_()
    return y


def recurrent(self: Any, x: Tensor) -> Tensor:
    """torch computes a cell of products that it changes in place."""
    weight, bias = self.up.weight, self.up.bias
    y = torch.rnn_tanh_cell(x.flatten(0, 1), x.flatten(0, 1), weight, weight, bias, bias)
    return x + self.down(y.view(x.shape))


def matmul_changed_last(self: Any, x: Tensor) -> Tensor:
    middle = self.up(x)
    y = self.down((1.5 * middle).relu())
    middle.tanh_()
    return y


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


def instance_norm(self: Any, x: Tensor) -> Tensor:
    return plain(self, self.instance_norm(x.transpose(1, 2)).transpose(1, 2))


def spectral(self: Any, x: Tensor) -> Tensor:
    return plain(self, self.spectral(x))


def in_place_by_position(self: Any, x: Tensor) -> Tensor:
    return plain(self, leaky_relu(x, 0.1, True))


def own_by_position(self: Any, x: Tensor) -> Tensor:
    return x + self.down(leaky_relu(self.up(x), 0.1, True))


def counted_in_object(self: Any, x: Tensor, record: Any) -> Tensor:
    record.calls += 1
    return plain(self, x * record.calls)


def with_dropout(self: Any, x: Tensor) -> Tensor:
    return plain(self, dropout(x, 0.5, training=True))


def auxiliary(self: Any, x: Tensor) -> Tensor:
    y = self.up(x)
    self.loss = y.square().mean()
    return x + self.down(y)


def memo(self: Any, x: Tensor, shared: dict[str, Tensor]) -> Tensor:
    if "table" not in shared:
        shared["table"] = self.up(x).sigmoid()
    return x + self.down(x * shared["table"])


def constant_memo(self: Any, x: Tensor, shared: dict[str, Tensor]) -> Tensor:
    if "table" not in shared:
        shared["table"] = torch.arange(LENGTH * 1.0).cos()[:, None]
    return plain(self, x * shared["table"])


def mask_memo(self: Any, x: Tensor, shared: dict[str, Tensor]) -> Tensor:
    if "mask" not in shared:
        shared["mask"] = torch.rand(LENGTH, 1)
    return plain(self, dropout(x, 0.5) * shared["mask"])


def counted_calls(self: Any, x: Tensor, shared: dict[str, int]) -> Tensor:
    shared["calls"] = shared.get("calls", 0) + 1
    return plain(self, x * shared["calls"])


def popped(self: Any, x: Tensor, skips: list[Tensor]) -> Tensor:
    return plain(self, x + skips.pop())


def pushed(self: Any, x: Tensor, skips: list[Tensor]) -> Tensor:
    skips.append(self.up(x))
    return plain(self, x)


def last_seen(self: Any, x: Tensor) -> Tensor:
    y = plain(self, x)
    self.last = y
    return y


def reads_other(self: Any, x: Tensor, other: Any) -> Tensor:
    y = plain(self, x + (other.last if other is not None else 0.0))
    self.last = y * 2.0
    return y


def reads_holder(self: Any, x: Tensor) -> Tensor:
    y = plain(self, x + self.holder[0])
    self.holder[0] = y
    return y


def own_generator(self: Any, x: Tensor) -> Tensor:
    return plain(self, x * torch.rand(LENGTH, 1, generator=self.generator))


def count_attribute(self: Any, x: Tensor) -> Tensor:
    self.new = getattr(self, "new", 0) + 1
    return plain(self, x * self.new)


def unused_count(self: Any, x: Tensor) -> Tensor:
    self.calls += 1
    return plain(self, x)


def returns_dict(self: Any, x: Any) -> dict[str, Tensor]:
    return {"x": plain(self, x["x"] if isinstance(x, dict) else x)}


# ---- what a block does to results that it keeps --------------------------------------------------


def in_place_matmul(self: Any, x: Tensor) -> Tensor:
    y = self.up(x)
    y.mul_(1.5)
    return x + self.down(y).sin()


def in_place_part(self: Any, x: Tensor) -> Tensor:
    y = x @ self.up.weight
    y[..., :1].mul_(1.5)
    return x + self.down(y.sin())


def in_place_matmul_relu(self: Any, x: Tensor) -> Tensor:
    return x + self.down(nn.functional.relu(self.up(x), inplace=True)).sin()


def in_place_product(self: Any, x: Tensor) -> Tensor:
    y = self.up(x) * 2.0
    y.mul_(1.5)
    return x + self.down(y).sin()


def in_place_last(self: Any, x: Tensor) -> Tensor:
    y = self.down(x.sin())
    y.mul_(1.5)
    return y


def with_middle(self: Any, x: Tensor) -> Any:
    y = self.up(x)
    return y, self.down(y.relu()).sin()
