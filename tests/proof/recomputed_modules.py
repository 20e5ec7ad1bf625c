"""Models of two blocks, and what they compute with and without recomputation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from planc.ir.record import Record
from tests.proof import recomputed_blocks as blocks
from tests.proof.recomputed_blocks import BATCH, LENGTH, WIDTH, Block

Forward = Callable[[Any, Any], Any]


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


def with_read_caches(self: Any, x: Tensor) -> Tensor:
    x, cache = self.stem(x), torch.zeros(BATCH, LENGTH, WIDTH)
    for block in self.blocks:
        x = block(x, (cache,)) + cache
        cache = torch.zeros(BATCH, LENGTH, WIDTH)
    return self.head(x)


def with_caches(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        x = block(x, (torch.zeros(BATCH, LENGTH, WIDTH),))
    return self.head(x)


def with_dict(self: Any, x: Tensor) -> Tensor:
    x, shared = self.stem(x), {}
    for block in self.blocks:
        x = block(x, shared)
    return self.head(x)


def with_object(self: Any, x: Tensor) -> Tensor:
    x, record = self.stem(x), SimpleNamespace(calls=0)
    for block in self.blocks:
        x = block(x, record)
    return self.head(x)


def with_cleared_dict(self: Any, x: Tensor) -> Tensor:
    x, shared = self.stem(x), {}
    for block in self.blocks:
        x = block(x, shared)
    shared.clear()
    return self.head(x)


def with_skips(self: Any, x: Tensor) -> Tensor:
    skips = [self.stem(x), x]
    for block in self.blocks:
        x = block(x, skips)
    return self.head(x)


def with_pushed(self: Any, x: Tensor) -> Tensor:
    skips: list[Tensor] = []
    for block in self.blocks:
        x = block(x, skips)
    return self.head(x) + sum(skips)


def with_losses(self: Any, x: Tensor) -> Tensor:
    x = in_a_row(self, x)
    return x + sum(block.loss for block in self.blocks)


def with_last(self: Any, x: Tensor) -> Tensor:
    return in_a_row(self, x) + self.blocks[0].last


def with_other(self: Any, x: Tensor) -> Tensor:
    x = self.blocks[0](self.stem(x), None)
    return self.head(self.blocks[1](x, self.blocks[0]))


def with_holder(self: Any, x: Tensor) -> Tensor:
    holder = [self.stem(x)]
    for block in self.blocks:
        block.holder = holder
        x = block(x)
    holder.clear()
    return self.head(x)


def with_generator(self: Any, x: Tensor) -> Tensor:
    for block in self.blocks:
        block.generator = torch.Generator().manual_seed(0)
    return in_a_row(self, x)


def with_dict_results(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        x = block(x)
    return self.head(x["x"])


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


def changed_middle(self: Any, x: Tensor) -> Tensor:
    x = self.stem(x)
    for block in self.blocks:
        middle, x = block(x)
        middle.mul_(2.0)
        x = x + middle
    return self.head(x)


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
    "plain": Case(blocks.plain, verdict="proved"),
    "argument in place": Case(blocks.in_place_argument),
    "view of an argument in place": Case(blocks.in_place_view),
    "argument changed last": Case(blocks.changed_last),
    "relu in place": Case(blocks.in_place_relu),
    "argument set to zero": Case(blocks.zeroed_argument),
    "argument overwritten": Case(blocks.overwritten_argument),
    "cache filled": Case(blocks.filled_cache, with_cache),
    "cache filled in a tuple": Case(blocks.filled_cache_in_tuple, with_caches, verdict="proved"),
    "cache filled, and read": Case(blocks.filled_cache_in_tuple, with_read_caches, verdict="proved"),
    "cache updated": Case(blocks.updated_cache, with_cache),
    "argument in place in a tuple": Case(blocks.in_place_tuple, with_gate),
    "own value in place": Case(blocks.in_place_own, verdict="proved"),
    "own copy in place": Case(blocks.in_place_copy, verdict="proved"),
    "running mean": Case(blocks.running_mean, verdict="proved"),
    "running mean after its use": Case(blocks.running_mean_after, verdict="proved"),
    "assigned running mean": Case(blocks.assigned_mean, verdict="proved"),
    "buffer overwritten": Case(blocks.overwritten_buffer, verdict="proved"),
    "buffer overwritten in part": Case(blocks.overwritten_in_part, verdict="proved"),
    "buffer read, then overwritten": Case(blocks.read_then_overwritten, verdict="proved"),
    "buffer overwritten by two calls": Case(blocks.overwritten_buffer, one_block_twice, verdict="proved"),
    "router's bias": Case(blocks.router_bias, verdict="proved"),
    "counted load": Case(blocks.counted_load, verdict="proved"),
    "instance norm": Case(blocks.instance_norm, verdict="proved"),
    "spectral norm": Case(blocks.spectral, verdict="proved"),
    "argument in place by a flag": Case(blocks.in_place_by_position),
    "own value in place by a flag": Case(blocks.own_by_position, verdict="proved"),
    "count in an object": Case(blocks.counted_in_object, with_object),
    "batch norm": Case(blocks.batch_norm, verdict="proved"),
    "dropout": Case(blocks.with_dropout, verdict="proved"),
    "argument changed by the model": Case(blocks.shifted, added_in_place),
    "result changed by the model": Case(blocks.plain, changed_copy, verdict="proved"),
    "buffer changed by the model": Case(scaled_by_step, steps, shares="step", verdict="proved"),
    "memo in a dictionary": Case(blocks.memo, with_dict),
    "constant memo in a dictionary": Case(blocks.constant_memo, with_dict, verdict="proved"),
    "constant memo, cleared": Case(blocks.constant_memo, with_cleared_dict, verdict="proved"),
    "mask in a dictionary": Case(blocks.mask_memo, with_dict),
    "count in a dictionary": Case(blocks.counted_calls, with_dict),
    "popped from a list": Case(blocks.popped, with_skips),
    "pushed to a list": Case(blocks.pushed, with_pushed, verdict="proved"),
    "auxiliary loss": Case(blocks.auxiliary, with_losses, verdict="proved"),
    "result in an attribute": Case(blocks.last_seen, with_last, verdict="proved"),
    "attribute of another block": Case(blocks.reads_other, with_other, verdict="proved"),
    "holder outside": Case(blocks.reads_holder, with_holder),
    "generator of its own": Case(blocks.own_generator, with_generator),
    "count in a new attribute": Case(blocks.count_attribute),
    "unused count": Case(blocks.unused_count, verdict="unproved"),
    "dictionary returned": Case(blocks.returns_dict, with_dict_results, verdict="proved"),
}


KEPT_CASES = {
    "plain": Case(blocks.plain, verdict="proved"),
    "matmul in place": Case(blocks.in_place_matmul),
    "part of a matmul in place": Case(blocks.in_place_part),
    "relu of a matmul in place": Case(blocks.in_place_matmul_relu),
    "products inside of a cell": Case(blocks.recurrent),
    "matmul changed last": Case(blocks.matmul_changed_last),
    "copy of a matmul in place": Case(blocks.in_place_product, verdict="proved"),
    "last matmul in place": Case(blocks.in_place_last, verdict="proved"),
    "matmul changed by the model": Case(blocks.with_middle, changed_middle),
}


# ---- numbers -----------------------------------------------------------------------------------


def step_numbers(model: Model) -> list[Tensor]:
    """The results, gradients and buffers of two steps."""
    found: list[Tensor] = []
    torch.manual_seed(1)
    for _ in range(2):
        result = model(torch.randn(BATCH, LENGTH, WIDTH))
        result.square().mean().backward()
        found.append(result.detach())
    found += [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [*found, *(buffer.clone() for buffer in model.buffers())]


def recompute_blocks(model: Model, *, keep_matmuls: bool = False) -> Model:
    """A copy whose blocks run twice, without planc."""
    model = copy.deepcopy(model)
    for block in model.blocks:
        block.forward = _checkpointed(block.forward, _KEEP_MATMULS if keep_matmuls else {})
    return model


def _checkpointed(forward: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False, **options)

    return run


def _keep_matmul(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    is_kept = op in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
    return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE


_KEEP_MATMULS = {"context_fn": partial(create_selective_checkpoint_contexts, _keep_matmul)}


def step_error(model: Model, other: Model) -> float:
    """How far any number of another model is from those of one; infinite where it raises."""
    whole = step_numbers(copy.deepcopy(model))
    try:
        found = step_numbers(other)
    except Exception:  # noqa: BLE001  # torch refuses in several ways
        return float("inf")
    return max(float((a - b).abs().max()) for a, b in zip(whole, found, strict=True))
