"""The collectives of one forward and backward pass, as it runs eagerly: those of boundaries, what
recomputed regions run again, of gradients that are summed, of the loss on split logits, and of
FSDP's units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planc.bind.binding import Binding
from planc.forecast.fsdp_units import fsdp_collectives
from planc.forecast.mixed_precision import MixedPrecision
from planc.forecast.recomputed_collectives import recomputed_collectives
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.proof.model_outputs import find_logits
from planc.proof.result import AxisProof, CollectiveEvent, Proof, join_module_path


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
    """All collectives of a plan, in the order of the axes and of execution.

    Args:
        merge: whether equal ones of one rule are one entry, with their count.
    """
    found: list[Collective] = []
    dtypes = MixedPrecision(binding)
    for axis in proof.axes:
        if axis.kind == "tensor":
            found += _boundaries(axis, dtypes)
            found += _again(binding, axis, dtypes)
            found += _loss(binding, axis)
            found += _sums(binding, axis, dtypes)
    found += fsdp_collectives(binding, Collective)
    return tuple(_merged(found)) if merge else tuple(found)


def _boundaries(axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    for path, outcome in axis.analysis.walk():
        for move in outcome.collectives:
            yield _moved(axis.axis, path, move, move.direction, move.port, dtypes)


def _again(binding: Binding, axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    """What recomputed regions run once more. What is the dual of it is not: it runs once."""
    for one in recomputed_collectives(binding, axis):
        what = f"{one.event.port}, {'again' if one.certain else 'again at most'}"
        yield _moved(axis.axis, one.caller, one.event, "backward", what, dtypes)


def _moved(
    axis: str, path: str, move: CollectiveEvent, direction: str, what: str, dtypes: MixedPrecision
) -> Collective:
    module = join_module_path(path, move.module)
    runs = dtypes.at_run_time(module, TensorInfo(move.shape, move.dtype))
    return Collective(
        move.kind, axis, direction, runs.dtype, runs.bytes, what, module or "root", 1, move.rule
    )


def _loss(binding: Binding, axis: AxisProof) -> Iterator[Collective]:
    """The loss on split logits: for every row its largest logit, then two sums. None backward."""
    loss, logits = axis.block.value.loss, find_logits(binding.graph.main_function)
    if loss is None or logits is None:
        return
    shape = logits[1].shape[:-1]
    dtype = "float64" if logits[1].dtype == "float64" else "float32"
    for what, each in (("maxima of the loss", shape), ("sums of the loss", (2, *shape))):
        size = TensorInfo(each, dtype).bytes
        yield Collective("all_reduce", axis.axis, "forward", dtype, size, what, "root", 1, loss)


def _sums(binding: Binding, axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    """Gradients of parameters that the ranks hold in parts: one all-reduce a parameter, or one
    for all names of a tied one."""
    same = {name: tie[0] for tie in binding.graph.ties for name in tie}
    done: set[str] = set()
    for path, outcome in axis.analysis.walk():
        for name, (info, placed) in outcome.summed_gradients.items():
            full = join_module_path(path, name)
            if same.get(full, full) in done:
                continue
            done.add(same.get(full, full))
            module, _, own = full.rpartition(".")
            runs = dtypes.at_run_time(module, info)
            yield Collective("all_reduce", axis.axis, "backward", runs.dtype, runs.bytes,
                             f"gradient of {own}", module or "root", 1, placed)  # fmt: skip


def _merged(found: Iterable[Collective]) -> Iterator[Collective]:
    groups: dict[object, list[Collective]] = {}
    for one in found:
        key = (one.kind, one.axis, one.direction, one.dtype, one.bytes, one.tensor, id(one.rule))
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        first = group[0]
        yield Collective(**{**first.__dict__, "count": sum(one.count for one in group)})
