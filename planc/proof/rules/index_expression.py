"""What an index in brackets does to the dims of a tensor: `x[..., :3]`, `x[:, None]`, `x[ids]`."""

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
    """A tensor under an index: the type that it has inside, and labels for its dims."""

    def __init__(self, x: Operand, index: Any, ranks: int) -> None:
        self.x, self.ranks = x, ranks
        self.sliced_type: SpmdType = x.type
        """Of the tensor, once the slices of the index are taken from it."""
        self.labels: list[DimLabel] = []
        """Of the tensor's dims; those of which one entry is taken, or gathered ones, are fixed."""
        self.need_replication: list[DimLabel] = []
        self.sliced_dims: list[int] = []
        """The dims of which only some entries are taken."""
        self.index_operands: list[LabeledOperand] = []
        """Index tensors."""
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
        """Of the result, whole."""
        return tuple(self._sizes.get(label, 1) for label in self.result_labels)

    def labeled_operands(self) -> list[LabeledOperand]:
        """The tensor, as it is inside, and index tensors."""
        x = self.x
        inside = (
            x if self.sliced_type is x.type else Operand(self.sliced_type, x.shape, x.grad, x.dtype, x.origin)
        )
        return [(inside, tuple(self.labels)), *self.index_operands]

    def _consume(self, item: Any) -> None:
        dim = len(self.labels)
        if item is None:
            self._out.append(None)
            return
        if dim >= self.x.ndim:
            raise Unsupported("an index for more dims than there are")
        if isinstance(item, Slice):
            self._slice(item, dim)
        elif isinstance(item, tuple) or (isinstance(item, Operand) and item.shape):
            self._gather(item, dim)
        else:
            self._select(item, dim)

    def _slice(self, item: Slice, dim: int) -> None:
        size, own = self.x.shape[dim], self.x.local_shape(self.ranks)[dim]
        asked = [
            (None, None) if part is None else global_and_local(part)
            for part in (item.start, item.stop, item.step)
        ]
        whole = range(size)[slice(*(part[0] for part in asked))]
        local = range(own)[slice(*(part[1] for part in asked))]
        unlike = next(iter_rank_dependent(item), None)
        if sharded_dim(self.x.type) == dim and not self._is_even_stride(whole, local, own):
            self.sliced_type = slice_type(
                self.x.type, size, whole, local, self.ranks, is_literal=unlike is None
            )
        elif sharded_dim(self.x.type) != dim and whole != local:
            raise size_read_violation(unlike)
        if whole != range(size):
            self.sliced_dims.append(dim)
        self.labels.append(dim)
        self._sizes[dim] = len(whole)
        self._out.append(dim)

    def _is_even_stride(self, whole: range, local: range, own: int) -> bool:
        """Whether every second entry is taken (or third, ...), which each rank has as many of."""
        step = whole.step
        strides = step > 1 and own % step == 0 and whole.start < step and isinstance(self.x.type, Sharded)
        return (
            strides
            and whole == range(whole.start, own * self.ranks, step)
            and local == range(whole.start, own, step)
        )

    def _select(self, item: Any, dim: int) -> None:
        if isinstance(item, Operand):
            self._check_index_tensor(item)
            self.has_scalar_tensor = True
        else:
            whole, local = (n + self.x.shape[dim] if n < 0 else n for n in global_and_local(item))
            if whole != local:
                raise size_read_violation(item)
        self._replicate_dim(dim)

    def _gather(self, item: Operand | tuple[Any, ...], dim: int) -> None:
        if isinstance(item, tuple):
            if any(not isinstance(part, int) or isinstance(part, bool) for part in item):
                raise Unsupported("a list in an index that does not hold plain numbers")
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
        """Each rank takes the entries of its own slice, by positions that it counts from its start."""
        kind = item.type
        assert isinstance(kind, LocalIndex)
        if not isinstance(self.x.type, Sharded) or self.x.type.dim != dim or self.x.shape[dim] != kind.size:
            raise RuleViolation(LocalIndexUsed(kind))
        self.labels.append(None)  # named once the dims of all index tensors are known

    def _replicate_dim(self, dim: int) -> None:
        self.labels.append(f"dim {dim}")
        self.need_replication.append(f"dim {dim}")

    def _check_index_tensor(self, item: Operand) -> None:
        if item.dtype not in INTEGER_DTYPES:
            raise Unsupported("a mask in an index: how many entries it takes is not known")
        if item.type is PARTIAL:
            raise RuleViolation(PartialOperand("index"))
        if not item.shape and item.type not in SAME_ON_ALL_RANKS:
            raise Unsupported(f"an index that is {item.type}")

    def _result_labels(self) -> list[DimLabel]:
        """The labels of the result: what is gathered stands where it was indexed, if that is one place."""
        places = [i for i, entry in enumerate(self._out) if entry is _GATHERED]
        rest: list[DimLabel] = [entry for entry in self._out if entry is not _GATHERED]
        if not places:
            return rest
        if self.has_scalar_tensor:
            raise Unsupported("an index of several tensors, one of them a single number")
        ndim = max(item.ndim for item in self._gathers)
        names = [f"gathered {d}" for d in range(ndim)]
        for item in self._gathers:
            own = names[ndim - item.ndim :]
            for name, size in zip(own, item.shape):
                self._sizes[name] = max(size, self._sizes.get(name, 1))
        for item in self._gathers:
            own = names[ndim - item.ndim :]
            if isinstance(item.type, LocalIndex):
                self.labels[self.labels.index(None)] = own[item.type.dim]
                item = Operand(sharded(item.type.dim), item.shape, False, item.dtype)
            labels = tuple(n if size == self._sizes[n] else None for n, size in zip(own, item.shape))
            self.index_operands.append((item, labels))
        at = places[0] if places[-1] - places[0] == len(places) - 1 else 0
        return [*rest[:at], *names, *rest[at:]]


def _expand_ellipsis(items: Sequence[Any], ndim: int) -> list[Any]:
    """An index without `...`."""
    dots = [i for i, item in enumerate(items) if isinstance(item, TorchConstant)]
    if not dots:
        return list(items)
    if len(dots) > 1 or items[dots[0]].text not in ("...", "Ellipsis"):
        raise Unsupported("an index that is neither a number, a slice, nor a tensor")
    rest = sum(item is not None for item in items) - 1
    full = [Slice(None, None, None)] * (ndim - rest)
    return [*items[: dots[0]], *full, *items[dots[0] + 1 :]]


def is_mask(index: Any) -> bool:
    """Whether an index is one mask."""
    one = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    return isinstance(one, Operand) and one.dtype in MASK_DTYPES
