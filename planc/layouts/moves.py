"""How a type follows the dims of its tensor where an operation moves or cuts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from planc.layouts.operation import Fault, NotKnown, Refused
from planc.layouts.types import Counted, Packed, Split, Type, counted, cut_dim, packed, split

FUSED = "the whole dim on every rank; the parts of a fused projection need packed_colwise"


def carried(kind: Type, to: Mapping[int, int] | Sequence[int], what: str = "taken apart") -> Type:
    """The type of a tensor whose dim `d` becomes dim `to[d]`; a dim that is not there may not be cut."""
    if isinstance(kind, Counted):
        return counted(to[kind.dim], kind.size, str(kind))
    dim = cut_dim(kind)
    if dim is None:
        return kind
    if isinstance(to, Mapping) and dim not in to:
        raise Refused("cut-along", f"dim {dim} is {kind}, and is {what}", "the whole dim on every rank")
    return packed(to[dim], kind.parts) if isinstance(kind, Packed) else split(to[dim])


def fixed(kind: Type, dims: Sequence[int], what: str) -> Type:
    """The type of a tensor that is changed along dims which every rank needs whole."""
    dim = cut_dim(kind)
    if dim is not None and dim in dims:
        raise Refused("cut-along", f"dim {dim} is {kind}, and is {what}", "the whole dim on every rank")
    return kind


def piece(kind: Type, size: int, whole: range, local: range, ranks: int, *, written: bool) -> Type:
    """The type of a piece of a tensor, cut from its cut dim.

    Args:
        kind: the type of the tensor, cut along that dim.
        size: of that dim, whole.
        whole: the entries that the piece has in the whole model.
        local: the entries that it has on a rank, of the rank's own.
        ranks: how many share the dim.
        written: whether the bounds are constants of the code.
    """
    if not isinstance(kind, Split | Packed):
        raise NotKnown(f"a tensor of type {kind} is cut")
    parts = kind.parts if isinstance(kind, Packed) else (size,)
    bounds = [0, *accumulate(parts)]
    start = bounds.index(whole.start) if whole.start in bounds else -1
    stop = bounds.index(whole.stop) if whole.stop in bounds else -1
    if start < 0 or stop <= start or whole.step != 1:
        raise Refused("cut-along", f"{_entries(whole)} of {size} are taken from dim {kind.dim}, which is {kind}",
                      FUSED)  # fmt: skip
    share = range(bounds[start] // ranks, bounds[stop] // ranks)
    if local != share:
        law: Fault = "size-written" if written else "cut-along"
        raise Refused(law, f"{_entries(whole)} of dim {kind.dim} are, on a rank, its own {_entries(share)}; the code "
                      f"takes {_entries(local)}", "attributes(...) that give the module its own sizes")  # fmt: skip
    rest = parts[start:stop]
    return split(kind.dim) if len(rest) == 1 else packed(kind.dim, rest)


def _entries(entries: range) -> str:
    return f"entries {entries.start} to {entries.stop}" + (f" by {entries.step}" if entries.step != 1 else "")
