"""Calls of torch functions with tensors that may have any type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from planc.ir.graph import Slice, TorchConstant
from planc.proof.rules.operation import RankDependent
from planc.proof.types import (
    AVERAGE,
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    PackedShard,
    Sharded,
    SpmdType,
    packed_shard,
    sharded,
)


class T:
    """A tensor of a case. `kind` is float, int (from `low` up to `high`) or bool; `like` makes the numbers
    from the shape and torch's generator; `types` limits the types that it is tried with."""

    def __init__(
        self,
        *shape: int,
        kind: str = "float",
        low: float = -2.0,
        high: float = 2.0,
        like: Callable[[tuple[int, ...], torch.Generator], torch.Tensor] | None = None,
        types: tuple[SpmdType, ...] | None = None,
    ) -> None:
        self.shape, self.kind, self.low, self.high, self.like, self.types = (
            shape,
            kind,
            low,
            high,
            like,
            types,
        )

    def __repr__(self) -> str:
        return f"T{self.shape}" + ("" if self.kind == "float" else self.kind)

    def make(self, generator: torch.Generator) -> torch.Tensor:
        if self.like is not None:
            return self.like(self.shape, generator)
        if self.kind == "bool":
            return torch.rand(self.shape, generator=generator) < 0.5
        if self.kind == "int":
            return torch.randint(int(self.low), int(self.high), self.shape, generator=generator)
        unit = torch.rand(self.shape, generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * unit

    def possible_types(self, ranks: int, averages: bool = False) -> list[tuple[SpmdType, bool]]:
        """The types that it can have, each with whether a gradient flows to it; also means over the ranks if the axis
        averages."""
        kinds: list[tuple[SpmdType, bool]] = [(CONSTANT, False)]
        flows = (True, False) if self.kind == "float" else (False,)
        if self.kind == "float":
            kinds += [(INVARIANT, True), (REPLICATED, True)]
        for dim, size in enumerate(self.shape):
            if size and size % ranks == 0:
                kinds += [(sharded(dim), grad) for grad in flows]
            if size >= 2 * ranks and size % ranks == 0:
                parts = (ranks, size - ranks) if size > 2 * ranks else (ranks, ranks)
                kinds += [(packed_shard(dim, parts), flows[0])]
        if self.kind != "bool":
            kinds += [(PARTIAL, grad) for grad in flows]
        if self.kind == "float" and averages:
            kinds += [(AVERAGE, grad) for grad in flows]
        return [kind for kind in kinds if self.types is None or kind[0] in self.types]


class Case:
    """A call: the name of the operation, and its arguments. `call` runs in the place of the torch function
    of that name, `local` on each rank (with `rank` and `ranks` as keywords)."""

    def __init__(
        self,
        name: str,
        *arguments: Any,
        call: Callable[..., Any] | None = None,
        local: Callable[..., Any] | None = None,
        masks_lookup: bool = False,
        **keywords: Any,
    ) -> None:
        self.name, self.arguments, self.keywords = name, arguments, keywords
        self.call, self.local, self.masks_lookup = call or torch_function(name), local, masks_lookup

        self.facts_checked = False
        """Whether the row of the operation was held against torch on this case."""

    def __repr__(self) -> str:
        given = [*map(repr, self.arguments), *(f"{k}={v!r}" for k, v in self.keywords.items())]
        return f"{self.name}({', '.join(given)})"

    def tensors(self) -> list[T]:
        """In the order in which `Operation.operands` has them; a `T` used twice is two tensors."""
        return list(_leaves((*self.arguments, *self.keywords.values())))


def torch_function(name: str) -> Callable[..., Any]:
    """The torch function with that name."""
    for place in (torch.nn.functional, torch.Tensor, torch):
        if hasattr(place, name):
            return getattr(place, name)  # type: ignore[no-any-return]
    raise LookupError(name)


def _leaves(item: Any) -> Iterator[T]:
    if isinstance(item, T):
        yield item
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _leaves(part)


def substitute_tensors(item: Any, tensors: Iterator[Any], local: bool | None = None) -> Any:
    """An argument with tensors in the places of `T`. `local`: None for the rule, which sees
    records; False for the run of the whole, True for that of a rank."""
    if isinstance(item, T):
        return next(tensors)
    if isinstance(item, tuple | list):
        parts = [substitute_tensors(part, tensors, local) for part in item]
        return tuple(parts) if isinstance(item, tuple) or local is None else parts
    if local is None:
        return item
    if isinstance(item, Slice):
        return slice(
            *(substitute_tensors(part, tensors, local) for part in (item.start, item.stop, item.step))
        )
    if isinstance(item, RankDependent):
        return item.local_value if local else item.global_value
    if isinstance(item, TorchConstant):
        return ... if item.text in ("...", "Ellipsis") else getattr(torch, item.text.removeprefix("torch."))
    return item


def local_shards(
    whole: torch.Tensor, kind: SpmdType, ranks: int, generator: torch.Generator
) -> list[torch.Tensor]:
    """What each rank holds."""
    if kind in SAME_ON_ALL_RANKS:
        return [whole] * ranks
    if kind is PARTIAL:
        return random_summands(whole, ranks, generator)
    if kind is AVERAGE:
        return [part * ranks for part in random_summands(whole, ranks, generator)]
    if isinstance(kind, Sharded):
        return list(whole.chunk(ranks, kind.dim))
    assert isinstance(kind, PackedShard)
    pieces = [part.chunk(ranks, kind.dim) for part in whole.split(kind.parts, kind.dim)]
    return [torch.cat(own, kind.dim) for own in zip(*pieces, strict=True)]


def random_summands(whole: torch.Tensor, ranks: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random tensors that add up to the whole."""
    if whole.is_floating_point():
        parts = [
            torch.randn(whole.shape, generator=generator, dtype=torch.float64).to(whole.dtype)
            for _ in range(ranks - 1)
        ]
    else:
        parts = [torch.randint(-3, 4, whole.shape, generator=generator) for _ in range(ranks - 1)]
    return [*parts, whole - sum(parts)]
