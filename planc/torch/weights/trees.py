"""A tensor of a model, said by the tensors of a file: one, or several stacked or joined.

Files of mixture-of-experts models have a tensor for each expert where the model has one for all.
What is asked of the model's tensor is asked of those of the file, slice by slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from torch import Tensor

from planc.torch.apply.boxes import Box


class Request(NamedTuple):
    """A slice of a tensor in a file, and where it goes."""

    name: str
    box: Box
    into: Tensor


class Leaf(NamedTuple):
    """A tensor of the file."""

    name: str
    shape: tuple[int, ...]

    def requests(self, box: Box, into: Tensor) -> Iterator[Request]:
        yield Request(self.name, box, into)


class Stacked(NamedTuple):
    """Tensors of one shape, one behind the other along a new dim."""

    dim: int
    items: tuple[Tree, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.items[0].shape
        return (*first[: self.dim], len(self.items), *first[self.dim :])

    def requests(self, box: Box, into: Tensor) -> Iterator[Request]:
        first, size = box[self.dim]
        inner = (*box[: self.dim], *box[self.dim + 1 :])
        for i in range(size):
            yield from self.items[first + i].requests(inner, into.select(self.dim, i))


class Joined(NamedTuple):
    """Tensors one behind the other along one of their dims."""

    dim: int
    items: tuple[Tree, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.items[0].shape
        size = sum(item.shape[self.dim] for item in self.items)
        return (*first[: self.dim], size, *first[self.dim + 1 :])

    def requests(self, box: Box, into: Tensor) -> Iterator[Request]:
        first, size = box[self.dim]
        start = 0
        for item in self.items:
            low, high = max(first, start), min(first + size, start + item.shape[self.dim])
            if low < high:
                inner = (*box[: self.dim], (low - start, high - low), *box[self.dim + 1 :])
                yield from item.requests(inner, into.narrow(self.dim, low - first, high - low))
            start += item.shape[self.dim]


class Turned(NamedTuple):
    """A tensor with two of its dims exchanged."""

    dims: tuple[int, int]
    item: Tree

    @property
    def shape(self) -> tuple[int, ...]:
        return _exchanged(self.item.shape, self.dims)

    def requests(self, box: Box, into: Tensor) -> Iterator[Request]:
        yield from self.item.requests(_exchanged(box, self.dims), into.transpose(*self.dims))


T = TypeVar("T")
Tree = Leaf | Stacked | Joined | Turned


def _exchanged(items: tuple[T, ...], dims: tuple[int, int]) -> tuple[T, ...]:
    changed = list(items)
    changed[dims[0]], changed[dims[1]] = items[dims[1]], items[dims[0]]
    return tuple(changed)
