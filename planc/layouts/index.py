"""What an index in brackets does to the dims of a tensor: `x[..., :3]`, `x[:, None]`, `x[ids]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.graph import Other, Slice
from planc.layouts.arguments import pair, read
from planc.layouts.factors import Label, Labels, Term
from planc.layouts.moves import piece
from planc.layouts.operation import NotKnown, Operand, Refused, differing
from planc.layouts.types import CONSTANT, PARTIAL, WHOLE, Counted, Split, Type, cut_dim, split

MASKS = ("bool", "uint8")
INTEGERS = ("int64", "int32", "int16", "int8")
_GATHERED = object()


class Indexed:
    """A tensor under an index: the type that it has inside, and labels for its dims."""

    def __init__(self, x: Operand, index: Any, ranks: int) -> None:
        self.x, self.ranks = x, ranks
        self.kind: Type = x.type
        """Of the tensor, once the slices of the index are taken from it."""
        self.labels: list[Label] = []
        """Of the tensor's dims; those of which one entry is taken, or gathered ones, are fixed."""
        self.fixed: list[Label] = []
        self.sliced: list[int] = []
        """The dims of which only some entries are taken."""
        self.others: list[Term] = []
        """Index tensors."""
        self.scalars = False
        """Whether one of them has no dims."""
        self._out: list[Any] = []
        self._gathers: list[Operand] = []
        self._sizes: dict[Label, int] = {}
        items = _spread(index if isinstance(index, tuple) else (index,), x.ndim)
        for item in items:
            self._take(item)
        for _ in range(x.ndim - len(self.labels)):
            self._take(Slice(None, None, None))
        self.result: Labels = tuple(self._placed())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, whole."""
        return tuple(self._sizes.get(label, 1) for label in self.result)

    def terms(self) -> list[Term]:
        """The tensor, as it is inside, and index tensors."""
        x = self.x
        inside = x if self.kind is x.type else Operand(self.kind, x.shape, x.grad, x.dtype, x.origin)
        return [(inside, tuple(self.labels)), *self.others]

    def _take(self, item: Any) -> None:
        dim = len(self.labels)
        if item is None:
            self._out.append(None)
            return
        if dim >= self.x.ndim:
            raise NotKnown("an index for more dims than there are")
        if isinstance(item, Slice):
            self._slice(item, dim)
        elif isinstance(item, tuple) or (isinstance(item, Operand) and item.shape):
            self._gather(item, dim)
        else:
            self._one(item, dim)

    def _slice(self, item: Slice, dim: int) -> None:
        size, own = self.x.shape[dim], self.x.local(self.ranks)[dim]
        asked = [(None, None) if part is None else pair(part) for part in (item.start, item.stop, item.step)]
        whole = range(size)[slice(*(part[0] for part in asked))]
        local = range(own)[slice(*(part[1] for part in asked))]
        unlike = next(differing(item), None)
        if cut_dim(self.x.type) == dim and not self._strides(whole, local, own):
            self.kind = piece(self.x.type, size, whole, local, self.ranks, written=unlike is None)
        elif cut_dim(self.x.type) != dim and whole != local:
            raise read(unlike)
        if whole != range(size):
            self.sliced.append(dim)
        self.labels.append(dim)
        self._sizes[dim] = len(whole)
        self._out.append(dim)

    def _strides(self, whole: range, local: range, own: int) -> bool:
        """Whether every second entry is taken (or third, ...), which each rank has as many of."""
        step = whole.step
        strides = step > 1 and own % step == 0 and whole.start < step and isinstance(self.x.type, Split)
        return (
            strides
            and whole == range(whole.start, own * self.ranks, step)
            and local == range(whole.start, own, step)
        )

    def _one(self, item: Any, dim: int) -> None:
        if isinstance(item, Operand):
            self._fits(item)
            self.scalars = True
        else:
            whole, local = (n + self.x.shape[dim] if n < 0 else n for n in pair(item))
            if whole != local:
                raise read(item)
        self._fix(dim)

    def _gather(self, item: Operand | tuple[Any, ...], dim: int) -> None:
        if isinstance(item, tuple):
            if any(not isinstance(part, int) or isinstance(part, bool) for part in item):
                raise NotKnown("a list in an index that does not hold plain numbers")
            item = Operand(CONSTANT, (len(item),), False, "int64")
        self._fits(item)
        if 0 in item.shape:
            raise NotKnown("an empty index")
        if isinstance(item.type, Counted):
            self._own(item, dim)
        else:
            self._fix(dim)
        self._gathers.append(item)
        self._out.append(_GATHERED)

    def _own(self, item: Operand, dim: int) -> None:
        """Each rank takes the entries of its own slice, by positions that it counts from its start."""
        kind = item.type
        assert isinstance(kind, Counted)
        if not isinstance(self.x.type, Split) or self.x.type.dim != dim or self.x.shape[dim] != kind.size:
            raise Refused("size-read", str(kind), "positions that are counted along the whole dim")
        self.labels.append(None)  # named once the dims of all index tensors are known

    def _fix(self, dim: int) -> None:
        self.labels.append(f"dim {dim}")
        self.fixed.append(f"dim {dim}")

    def _fits(self, item: Operand) -> None:
        if item.dtype not in INTEGERS:
            raise NotKnown("a mask in an index: how many entries it takes is not known")
        if item.type is PARTIAL:
            raise Refused("partial", "a pending sum is an index", "the sum taken first")
        if not item.shape and item.type not in WHOLE:
            raise NotKnown(f"an index that is {item.type}")

    def _placed(self) -> list[Label]:
        """The labels of the result: what is gathered stands where it was indexed, if that is one place."""
        places = [i for i, entry in enumerate(self._out) if entry is _GATHERED]
        rest: list[Label] = [entry for entry in self._out if entry is not _GATHERED]
        if not places:
            return rest
        if self.scalars:
            raise NotKnown("an index of several tensors, one of them a single number")
        ndim = max(item.ndim for item in self._gathers)
        names = [f"gathered {d}" for d in range(ndim)]
        for item in self._gathers:
            own = names[ndim - item.ndim :]
            for name, size in zip(own, item.shape):
                self._sizes[name] = max(size, self._sizes.get(name, 1))
        for item in self._gathers:
            own = names[ndim - item.ndim :]
            if isinstance(item.type, Counted):
                self.labels[self.labels.index(None)] = own[item.type.dim]
                item = Operand(split(item.type.dim), item.shape, False, item.dtype)
            labels = tuple(n if size == self._sizes[n] else None for n, size in zip(own, item.shape))
            self.others.append((item, labels))
        at = places[0] if places[-1] - places[0] == len(places) - 1 else 0
        return [*rest[:at], *names, *rest[at:]]


def _spread(items: Sequence[Any], ndim: int) -> list[Any]:
    """An index without `...`."""
    dots = [i for i, item in enumerate(items) if isinstance(item, Other)]
    if not dots:
        return list(items)
    if len(dots) > 1 or items[dots[0]].text not in ("...", "Ellipsis"):
        raise NotKnown("an index that is neither a number, a slice, nor a tensor")
    rest = sum(item is not None for item in items) - 1
    full = [Slice(None, None, None)] * (ndim - rest)
    return [*items[: dots[0]], *full, *items[dots[0] + 1 :]]


def masks(index: Any) -> bool:
    """Whether an index is one mask."""
    one = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    return isinstance(one, Operand) and one.dtype in MASKS
