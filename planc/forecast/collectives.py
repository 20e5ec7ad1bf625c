"""The collectives of one forward and backward pass, as it runs eagerly: those of boundaries, what
recomputed regions run again, of gradients that are summed, of the loss on split logits, and of
FSDP's units."""

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
    """Of the whole tensor, in the sizes that the model was captured with, and the dtype that runs."""
    tensor: str
    """The port of the module, its parameter, or the unit's parameters; `again` behind it: a
    recomputed region runs it once more, `again at most`: perhaps it does."""
    module: str
    """The first of the modules."""
    count: int
    """How many of these there are in one pass."""
    rule: Located | None


def forecast_collectives(binding: Binding, proof: Proof, *, merge: bool = True) -> tuple[Collective, ...]:
    """All collectives of a plan, by the kind of their block, then in the order of the blocks and of execution.

    Args:
        merge: whether equal ones of one rule are one entry, with their count.
    """
    found: list[Collective] = []
    for row in BLOCK_KINDS.values():
        for number, block in enumerate(binding.resolved.blocks):
            if block.row is row and row.forecast is not None:
                found += load_reference(row.forecast)(binding, proof, number)
    return tuple(_merged(found)) if merge else tuple(found)


def _merged(found: Iterable[Collective]) -> Iterator[Collective]:
    groups: dict[object, list[Collective]] = {}
    for one in found:
        key = (one.kind, one.axis, one.direction, one.dtype, one.bytes, one.tensor, id(one.rule))
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        first = group[0]
        yield Collective(**{**first.__dict__, "count": sum(one.count for one in group)})
