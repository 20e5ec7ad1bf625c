"""A tensor of a model as an expression of tensors in a file: one of them, or several stacked or concatenated.

Files of mixture-of-experts models have a tensor for each expert where the model has one for all. A slice of the
model's tensor becomes slices of the file's tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from torch import Tensor

from planc.torch.apply.local_slice import SliceBounds


class SliceRequest(NamedTuple):
    """A slice of a tensor in a file, and the memory to read it into."""

    name: str
    bounds: SliceBounds
    dest: Tensor


class FileTensor(NamedTuple):
    """A tensor of the file."""

    name: str
    shape: tuple[int, ...]

    def slice_requests(self, bounds: SliceBounds, dest: Tensor) -> Iterator[SliceRequest]:
        yield SliceRequest(self.name, bounds, dest)


class StackedTensors(NamedTuple):
    """Tensors of one shape, stacked along a new dim."""

    dim: int
    items: tuple[TensorExpr, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.items[0].shape
        return (*first[: self.dim], len(self.items), *first[self.dim :])

    def slice_requests(self, bounds: SliceBounds, dest: Tensor) -> Iterator[SliceRequest]:
        first, size = bounds[self.dim]
        inner = (*bounds[: self.dim], *bounds[self.dim + 1 :])
        for i in range(size):
            yield from self.items[first + i].slice_requests(inner, dest.select(self.dim, i))


class ConcatTensors(NamedTuple):
    """Tensors concatenated along one of their dims."""

    dim: int
    items: tuple[TensorExpr, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.items[0].shape
        size = sum(item.shape[self.dim] for item in self.items)
        return (*first[: self.dim], size, *first[self.dim + 1 :])

    def slice_requests(self, bounds: SliceBounds, dest: Tensor) -> Iterator[SliceRequest]:
        first, size = bounds[self.dim]
        start = 0
        for item in self.items:
            low, high = max(first, start), min(first + size, start + item.shape[self.dim])
            if low < high:
                inner = (*bounds[: self.dim], (low - start, high - low), *bounds[self.dim + 1 :])
                yield from item.slice_requests(inner, dest.narrow(self.dim, low - first, high - low))
            start += item.shape[self.dim]


class TransposedTensor(NamedTuple):
    """A tensor with two of its dims transposed."""

    dims: tuple[int, int]
    source: TensorExpr

    @property
    def shape(self) -> tuple[int, ...]:
        return _swap_dims(self.source.shape, self.dims)

    def slice_requests(self, bounds: SliceBounds, dest: Tensor) -> Iterator[SliceRequest]:
        yield from self.source.slice_requests(_swap_dims(bounds, self.dims), dest.transpose(*self.dims))


T = TypeVar("T")
TensorExpr = FileTensor | StackedTensors | ConcatTensors | TransposedTensor


def _swap_dims(items: tuple[T, ...], dims: tuple[int, int]) -> tuple[T, ...]:
    swapped = list(items)
    swapped[dims[0]], swapped[dims[1]] = items[dims[1]], items[dims[0]]
    return tuple(swapped)
