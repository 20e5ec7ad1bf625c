"""The collectives of one forward and backward pass, as it runs eagerly: those of boundaries, what
recomputed regions run again, of gradients that are summed, of the loss on split logits, and of
FSDP's units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planc.forecast.again import again
from planc.forecast.dtypes import Dtypes
from planc.forecast.units import units
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.settled import Placed
from planc.layouts.logits import logits_of
from planc.layouts.outcome import Move, joined
from planc.layouts.prove import AxisProof, Proof
from planc.resolve.bind import Binding


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
    what: str
    """The port of the module, its parameter, or the unit's parameters; `again` behind it: a
    recomputed region runs it once more, `again at most`: perhaps it does."""
    module: str
    """The first of the modules."""
    count: int
    """How many of these there are in one pass."""
    rule: Placed | None


def collectives(binding: Binding, proof: Proof, *, merge: bool = True) -> tuple[Collective, ...]:
    """All collectives of a plan, in the order of the axes and of execution.

    Args:
        merge: whether equal ones of one rule are one entry, with their count.
    """
    found: list[Collective] = []
    dtypes = Dtypes(binding)
    for axis in proof.axes:
        if axis.kind == "tensor":
            found += _boundaries(axis, dtypes)
            found += _again(binding, axis, dtypes)
            found += _loss(binding, axis)
            found += _sums(binding, axis, dtypes)
    found += units(binding, Collective)
    return tuple(_merged(found)) if merge else tuple(found)


def _boundaries(axis: AxisProof, dtypes: Dtypes) -> Iterator[Collective]:
    for path, outcome in axis.outcome.walk():
        for move in outcome.moves:
            yield _moved(axis.axis, path, move, move.direction, move.where, dtypes)


def _again(binding: Binding, axis: AxisProof, dtypes: Dtypes) -> Iterator[Collective]:
    """What recomputed regions run once more. What is the dual of it is not: it runs once."""
    for one in again(binding, axis):
        what = f"{one.move.where}, {'again' if one.sure else 'again at most'}"
        yield _moved(axis.axis, one.path, one.move, "backward", what, dtypes)


def _moved(axis: str, path: str, move: Move, direction: str, what: str, dtypes: Dtypes) -> Collective:
    module = joined(path, move.module)
    runs = dtypes.runs(module, TensorInfo(move.shape, move.dtype))
    return Collective(
        move.kind, axis, direction, runs.dtype, runs.bytes, what, module or "root", 1, move.rule
    )


def _loss(binding: Binding, axis: AxisProof) -> Iterator[Collective]:
    """The loss on split logits: for every row its largest logit, then two sums. None backward."""
    loss, logits = axis.block.value.loss, logits_of(binding.graph.main)
    if loss is None or logits is None:
        return
    shape = logits[1].shape[:-1]
    dtype = "float64" if logits[1].dtype == "float64" else "float32"
    for what, each in (("maxima of the loss", shape), ("sums of the loss", (2, *shape))):
        size = TensorInfo(each, dtype).bytes
        yield Collective("all_reduce", axis.axis, "forward", dtype, size, what, "root", 1, loss)


def _sums(binding: Binding, axis: AxisProof, dtypes: Dtypes) -> Iterator[Collective]:
    """Gradients of parameters that the ranks hold in parts: one all-reduce a parameter, or one
    for all names of a tied one."""
    same = {name: tie[0] for tie in binding.graph.ties for name in tie}
    done: set[str] = set()
    for path, outcome in axis.outcome.walk():
        for name, (info, placed) in outcome.sums.items():
            full = joined(path, name)
            if same.get(full, full) in done:
                continue
            done.add(same.get(full, full))
            module, _, own = full.rpartition(".")
            runs = dtypes.runs(module, info)
            yield Collective("all_reduce", axis.axis, "backward", runs.dtype, runs.bytes,
                             f"gradient of {own}", module or "root", 1, placed)  # fmt: skip


def _merged(found: Iterable[Collective]) -> Iterator[Collective]:
    groups: dict[object, list[Collective]] = {}
    for one in found:
        key = (one.kind, one.axis, one.direction, one.dtype, one.bytes, one.what, id(one.rule))
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        first = group[0]
        yield Collective(**{**first.__dict__, "count": sum(one.count for one in group)})
