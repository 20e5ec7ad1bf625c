"""The collectives of one eager forward and backward pass. The row of each kind of block says how to find its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planc.bind.binding import Binding
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.proof.result import Proof
from planc.reference import load_reference


class Collective(Record):
    """Equal collectives of one rule."""

    kind: str
    """`all_gather`, `reduce_scatter`, `all_reduce` or `all_to_all`."""
    axis: str
    direction: str
    """`forward` or `backward`."""
    dtype: str
    bytes: int
    """Bytes of the global tensor, in the sizes of the captured run and the dtype at run time."""
    tensor: str
    """The port of the module, its parameter, or the parameters of the unit. It ends in `again` where a
    recomputed region runs the collective once more, and in `again at most` where it may."""
    module: str
    """The first module that it belongs to."""
    count: int
    """How often it runs in one pass."""
    rule: Located | None


def forecast_collectives(binding: Binding, proof: Proof, *, merge: bool = True) -> tuple[Collective, ...]:
    """All collectives of a plan, ordered by the kind of their block, by block, and by execution.

    Args:
        binding: the plan bound to a model.
        proof: its proof.
        merge: whether equal collectives of one rule are one entry with a count.
    """
    found: list[Collective] = []
    for row in BLOCK_KINDS.values():
        for number, block in enumerate(binding.resolved.blocks):
            if block.row is row and row.forecast is not None:
                found += load_reference(row.forecast)(binding, proof, number)
    return tuple(_merged(found)) if merge else tuple(found)


def _merged(found: Iterable[Collective]) -> Iterator[Collective]:
    groups: dict[object, list[Collective]] = {}
    for c in found:
        key = (c.kind, c.axis, c.direction, c.dtype, c.bytes, c.tensor, id(c.rule))
        groups.setdefault(key, []).append(c)
    for group in groups.values():
        yield group[0].with_(count=sum(c.count for c in group))
