"""The collectives on an axis that splits tensors: those of boundaries, what recomputed regions run
once more, of the loss on split logits, and of gradients that are summed."""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding
from planc.forecast.collectives import Collective
from planc.forecast.mixed_precision import MixedPrecision
from planc.forecast.recomputed_collectives import recomputed_collectives
from planc.ir.graph import TensorInfo
from planc.proof.model_outputs import find_logits
from planc.proof.result import AxisProof, CollectiveEvent, Proof, join_module_path


def tensor_collectives(binding: Binding, proof: Proof, number: int) -> Iterator[Collective]:
    """The collectives of a block, by its number, in the order of execution."""
    dtypes = MixedPrecision(binding)
    for axis in proof.axes:
        if axis.block.value is binding.resolved.blocks[number]:
            yield from _boundaries(axis, dtypes)
            yield from _recomputed(binding, axis, dtypes)
            yield from _loss(binding, axis)
            yield from _gradient_sums(binding, axis, dtypes)


def _boundaries(axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    for path, outcome in axis.analysis.walk():
        for move in outcome.collectives:
            yield _moved(axis.axis, path, move, move.direction, move.port, dtypes)


def _recomputed(binding: Binding, axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
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


def _gradient_sums(binding: Binding, axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
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
