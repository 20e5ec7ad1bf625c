"""Operations that repeat the numbers of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.layouts.arguments import arguments, dim_of, integer, listed, pair, read, tensor
from planc.layouts.factors import beside_parts
from planc.layouts.moves import carried
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import PARTIAL, Packed, Split, Type, cut_dim, packed, split


def copies(x: Operand, dim: int, count: Any, ranks: int) -> Type:
    """The type of `count` copies of a tensor behind each other along a dim of the result, where a
    rank makes fewer than the whole model does: each rank has its share of them."""
    whole, local = pair(count)
    if cut_dim(x.type) is not None:
        raise Refused("meet", f"a tensor that is {x.type} is stretched to a size that differs between ranks",
                      "a tensor that every rank has whole")  # fmt: skip
    if x.type is PARTIAL:
        raise Refused("partial", "a pending sum is stretched to a size that differs between ranks",
                      "the sum taken first")  # fmt: skip
    if whole != local * ranks:
        raise read(count)
    beside_parts([x], "split between the ranks")
    return split(dim)


def stretched(x: Operand, sizes: Sequence[Any], operation: Operation) -> Type:
    """The type of a tensor whose dims of size 1, and new ones before them, take other sizes."""
    new = len(sizes) - x.ndim
    if new < 0:
        raise NotKnown(f"{len(sizes)} sizes for a tensor of {x.ndim} dims")
    shape, own = (1,) * new + x.shape, (1,) * new + x.local(operation.ranks)
    born: list[tuple[int, Any]] = []
    for d, item in enumerate(sizes):
        whole, local = pair(item)
        if whole == local == -1:
            continue
        if shape[d] == 1 == own[d]:
            if whole != local:
                born.append((d, item))
        elif local != own[d] or whole != shape[d]:
            if isinstance(item, Differs):
                raise read(item)
            raise Refused("size-written", f"the size of dim {d} is written out as {local}, where a rank has {own[d]}",
                          "-1 in the code, or attributes(...) that give the module its own share")  # fmt: skip
    if len(born) > 1:
        raise read(born[1][1])
    if born:
        return copies(x, *born[0], operation.ranks)
    return carried(x.type, [d + new for d in range(x.ndim)])


@rule("expand", "broadcast_to", sizes=True)
def expand(operation: Operation) -> Type:
    """x (a, 1), sizes (n, a, b) -> (n, a, b)"""
    operation.keywords = {name: value for name, value in operation.keywords.items() if name != "implicit"}
    return stretched(*listed(operation, "size"), operation)


@rule("expand_as")
def expand_as(operation: Operation) -> Type:
    """x (a, 1), other (a, b) -> (a, b)"""
    x, other = (tensor(item) for item in arguments(operation, "input", "other"))
    sizes = zip(other.shape, other.local(operation.ranks))
    what = f"the size of a tensor that is {other.type}"
    return stretched(x, [w if w == n else Differs(w, n, what) for w, n in sizes], operation)


@rule("repeat", sizes=True)
def repeat(operation: Operation) -> Type:
    """x (a, b), repeats (2, 3) -> (2 * a, 3 * b)"""
    return tiled(*listed(operation, "repeats"), operation)


@rule("tile", sizes=True)
def tile(operation: Operation) -> Type:
    """x (a, b), repeats (3) -> (a, 3 * b)"""
    x, counts = listed(operation, "dims")
    return tiled(x, (1,) * (x.ndim - len(counts)) + counts, operation)


def tiled(x: Operand, counts: Sequence[Any], operation: Operation) -> Type:
    """The type of a tensor that is laid out several times along its dims, and new ones before them."""
    new = len(counts) - x.ndim
    if new < 0:
        raise NotKnown(f"{len(counts)} repeats for a tensor of {x.ndim} dims")
    unlike = [(d, item) for d, item in enumerate(counts) if isinstance(item, Differs)]
    if len(unlike) > 1:
        raise read(unlike[1][1])
    if unlike:
        return copies(x, *unlike[0], operation.ranks)
    cut = cut_dim(x.type)
    if cut is not None and integer(counts[cut + new]) != 1:
        raise Refused("cut-along", f"dim {cut} is {x.type}, and is repeated as a whole",
                      "the whole dim on every rank")  # fmt: skip
    return carried(x.type, [d + new for d in range(x.ndim)])


@rule("repeat_interleave", sizes=True)
def repeat_interleave(operation: Operation) -> Type:
    """x (a, b), 3 times along dim 1 -> (a, 3 * b), each entry beside its copies"""
    x, count, dim = arguments(operation, "input", "repeats", dim=None, output_size=None)[:3]
    kind: Type = tensor(x).type
    if isinstance(count, Operand) or dim is None:
        if cut_dim(kind) is not None or isinstance(count, Operand):
            raise NotKnown("entries are repeated without a dim, or each so many times as another tensor says")
        integer(count)
        return kind
    dim = dim_of(dim, x.ndim)
    if isinstance(count, Differs) and x.shape[dim] == 1:
        return copies(x, dim, count, operation.ranks)
    times = integer(count)
    if isinstance(kind, Packed) and kind.dim == dim:
        return packed(dim, tuple(part * times for part in kind.parts))
    return kind


@rule("broadcast_tensors")
def broadcast_tensors(operation: Operation) -> tuple[Type, ...]:
    """x (a, 1), y (b) -> (a, b), (a, b)"""
    given = operation.arguments
    items = [tensor(item) for item in (given[0] if given and isinstance(given[0], tuple) else given)]
    shape = operation.results[0].shape
    sizes: list[Any] = list(shape)
    for item in items:
        cut = cut_dim(item.type)
        if cut is not None:
            place = cut + len(shape) - item.ndim
            sizes[place] = Differs(
                shape[place], shape[place] // operation.ranks, f"the size of a tensor that is {item.type}"
            )
    if operation.keywords or any(isinstance(item.type, Packed) for item in items):
        raise NotKnown("tensors that are cut in parts are broadcast")
    return tuple(_beside(item, sizes, operation) for item in items)


def _beside(x: Operand, sizes: Sequence[Any], operation: Operation) -> Type:
    kind = stretched(x, sizes, operation)
    if not isinstance(kind, Split) and any(isinstance(size, Differs) for size in sizes):
        raise NotKnown("a tensor is broadcast beside one that is split")
    return kind
