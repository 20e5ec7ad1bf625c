"""The dims of a tensor under an index in brackets: `x[..., :3]`, `x[:, None]`, `x[ids]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.graph import Slice, TorchConstant
from planc.proof.rules.arguments import global_and_local, size_read_violation
from planc.proof.rules.dim_mapping import slice_type
from planc.proof.rules.einsum_rule import DimLabel, DimLabels, LabeledOperand
from planc.proof.rules.operation import Operand, RuleViolation, Unsupported, iter_rank_dependent
from planc.proof.types import (
    CONSTANT,
    PARTIAL,
    SAME_ON_ALL_RANKS,
    LocalIndex,
    Sharded,
    SpmdType,
    sharded,
    sharded_dim,
)
from planc.proof.violations import LocalIndexUsed, PartialOperand

MASK_DTYPES = ("bool", "uint8")
INTEGER_DTYPES = ("int64", "int32", "int16", "int8")
_GATHERED = object()


class IndexExpression:
    """A tensor under an index: the type of the part that its slices take, and labels for all dims."""

    def __init__(self, x: Operand, index: Any, ranks: int) -> None:
        self.x, self.ranks = x, ranks
        self.sliced_type: SpmdType = x.type
        """The type of the tensor under the slices of the index."""
        self.labels: list[DimLabel] = []
        """A label for each dim of the tensor."""
        self.need_replication: list[DimLabel] = []
        """The dims of which the index takes one entry, or gathers some."""
        self.sliced_dims: list[int] = []
        """The dims of which a slice takes only some entries."""
        self.index_operands: list[LabeledOperand] = []
        """The index tensors, with labels."""
        self.has_scalar_tensor = False
        """Whether one of them has no dims."""
        self._out: list[Any] = []
        self._gathers: list[Operand] = []
        self._sizes: dict[DimLabel, int] = {}
        items = _expand_ellipsis(index if isinstance(index, tuple) else (index,), x.ndim)
        for item in items:
            self._consume(item)
        for _ in range(x.ndim - len(self.labels)):
            self._consume(Slice(None, None, None))
        self.result_labels: DimLabels = tuple(self._result_labels())

    @property
    def shape(self) -> tuple[int, ...]:
        """The global shape of the result."""
        return tuple(self._sizes.get(label, 1) for label in self.result_labels)

    def labeled_operands(self) -> list[LabeledOperand]:
        """The tensor under the slices, and the index tensors."""
        x = self.x
        sliced = Operand(self.sliced_type, x.shape, x.grad, x.dtype, x.origin)
        return [(x if self.sliced_type is x.type else sliced, tuple(self.labels)), *self.index_operands]

    def _consume(self, item: Any) -> None:
        dim = len(self.labels)
        if item is None:
            self._out.append(None)
            return
        if dim >= self.x.ndim:
            raise Unsupported("an index for more dims than the tensor has")
        if isinstance(item, Slice):
            self._slice(item, dim)
        elif isinstance(item, tuple) or (isinstance(item, Operand) and item.shape):
            self._gather(item, dim)
        else:
            self._select(item, dim)

    def _slice(self, item: Slice, dim: int) -> None:
        size, local_size = self.x.shape[dim], self.x.local_shape(self.ranks)[dim]
        parts = (item.start, item.stop, item.step)
        bounds = [(None, None) if part is None else global_and_local(part) for part in parts]
        entries = range(size)[slice(*(bound[0] for bound in bounds))]
        local = range(local_size)[slice(*(bound[1] for bound in bounds))]
        rank_dependent = next(iter_rank_dependent(item), None)
        if sharded_dim(self.x.type) == dim and not self._is_even_stride(entries, local, local_size):
            is_literal = rank_dependent is None
            self.sliced_type = slice_type(
                self.x.type, size, entries, local, self.ranks, is_literal=is_literal
            )
        elif sharded_dim(self.x.type) != dim and entries != local:
            raise size_read_violation(rank_dependent)
        if entries != range(size):
            self.sliced_dims.append(dim)
        self.labels.append(dim)
        self._sizes[dim] = len(entries)
        self._out.append(dim)

    def _is_even_stride(self, entries: range, local: range, local_size: int) -> bool:
        """Whether a slice takes every n-th entry, and each rank holds equally many of them."""
        step, start = entries.step, entries.start
        divides = step > 1 and local_size % step == 0 and start < step
        return (
            divides
            and isinstance(self.x.type, Sharded)
            and entries == range(start, local_size * self.ranks, step)
            and local == range(start, local_size, step)
        )

    def _select(self, item: Any, dim: int) -> None:
        if isinstance(item, Operand):
            self._check_index_tensor(item)
            self.has_scalar_tensor = True
        else:
            entry, local_entry = (n + self.x.shape[dim] if n < 0 else n for n in global_and_local(item))
            if entry != local_entry:
                raise size_read_violation(item)
        self._replicate_dim(dim)

    def _gather(self, item: Operand | tuple[Any, ...], dim: int) -> None:
        if isinstance(item, tuple):
            if any(not isinstance(part, int) or isinstance(part, bool) for part in item):
                raise Unsupported("a list of an index holds something other than integers")
            item = Operand(CONSTANT, (len(item),), False, "int64")
        self._check_index_tensor(item)
        if 0 in item.shape:
            raise Unsupported("an empty index")
        if isinstance(item.type, LocalIndex):
            self._gather_local(item, dim)
        else:
            self._replicate_dim(dim)
        self._gathers.append(item)
        self._out.append(_GATHERED)

    def _gather_local(self, item: Operand, dim: int) -> None:
        """Gather entries of each rank's own shard, by positions that the rank counts from the start of it."""
        positions = item.type
        assert isinstance(positions, LocalIndex)
        if self.x.type is not sharded(dim) or self.x.shape[dim] != positions.size:
            raise RuleViolation(LocalIndexUsed(positions))
        self.labels.append(None)  # `_result_labels` names it, once it knows the dims of all index tensors

    def _replicate_dim(self, dim: int) -> None:
        self.labels.append(f"dim {dim}")
        self.need_replication.append(f"dim {dim}")

    def _check_index_tensor(self, item: Operand) -> None:
        if item.dtype not in INTEGER_DTYPES:
            raise Unsupported("a mask in an index: planc does not know how many entries it takes")
        if item.type is PARTIAL:
            raise RuleViolation(PartialOperand("index"))
        if not item.shape and item.type not in SAME_ON_ALL_RANKS:
            raise Unsupported(f"an index that is {item.type}")

    def _result_labels(self) -> list[DimLabel]:
        """The labels of the result: gathered dims stand where the index tensors do, if these are neighbours, else first."""
        positions = [i for i, entry in enumerate(self._out) if entry is _GATHERED]
        rest: list[DimLabel] = [entry for entry in self._out if entry is not _GATHERED]
        if not positions:
            return rest
        if self.has_scalar_tensor:
            raise Unsupported("an index of several tensors, one of them without dims")
        ndim = max(item.ndim for item in self._gathers)
        names = [f"gathered {d}" for d in range(ndim)]
        for item in self._gathers:
            for name, size in zip(names[ndim - item.ndim :], item.shape):
                self._sizes[name] = max(size, self._sizes.get(name, 1))
        for item in self._gathers:
            self._label_index_tensor(item, names[ndim - item.ndim :])
        are_neighbours = positions[-1] - positions[0] == len(positions) - 1
        first = positions[0] if are_neighbours else 0
        return [*rest[:first], *names, *rest[first:]]

    def _label_index_tensor(self, item: Operand, names: list[str]) -> None:
        if isinstance(item.type, LocalIndex):
            self.labels[self.labels.index(None)] = names[item.type.dim]
            item = Operand(sharded(item.type.dim), item.shape, False, item.dtype)
        labels = tuple(n if size == self._sizes[n] else None for n, size in zip(names, item.shape))
        self.index_operands.append((item, labels))


def _expand_ellipsis(items: Sequence[Any], ndim: int) -> list[Any]:
    """The index with a full slice for each dim that `...` stands for."""
    dots = [i for i, item in enumerate(items) if isinstance(item, TorchConstant)]
    if not dots:
        return list(items)
    if len(dots) > 1 or items[dots[0]].text not in ("...", "Ellipsis"):
        raise Unsupported("an index of something other than numbers, slices and tensors")
    rest = sum(item is not None for item in items) - 1
    full = [Slice(None, None, None)] * (ndim - rest)
    return [*items[: dots[0]], *full, *items[dots[0] + 1 :]]


def is_mask(index: Any) -> bool:
    """Whether an index is one mask."""
    one = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    return isinstance(one, Operand) and one.dtype in MASK_DTYPES
