"""The collectives on an axis whose ranks share dims of tensors: at boundaries and in recomputed regions, of the
vocab-parallel loss, and of gradients that are all-reduced."""

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
    """The collectives of a block, by its number, in the order of execution: a `BlockKind.forecast`."""
    dtypes = MixedPrecision(binding)
    for axis in proof.axes:
        if axis.block.value is binding.resolved.blocks[number]:
            yield from _boundary_collectives(axis, dtypes)
            yield from _recomputed_collectives(binding, axis, dtypes)
            yield from _loss_collectives(binding, axis)
            yield from _gradient_all_reduces(binding, axis, dtypes)


def _boundary_collectives(axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    for caller, analysis in axis.analysis.walk():
        for event in analysis.collectives:
            yield _collective(axis.axis, caller, event, event.direction, event.port, dtypes)


def _recomputed_collectives(
    binding: Binding, axis: AxisProof, dtypes: MixedPrecision
) -> Iterator[Collective]:
    """The forward collectives that recomputed regions run once more; backward collectives run once."""
    for recomputed in recomputed_collectives(binding, axis):
        event = recomputed.event
        tensor = f"{event.port}, {'again' if recomputed.certain else 'again at most'}"
        yield _collective(axis.axis, recomputed.caller, event, "backward", tensor, dtypes)


def _collective(
    axis: str, caller: str, event: CollectiveEvent, direction: str, tensor: str, dtypes: MixedPrecision
) -> Collective:
    module = join_module_path(caller, event.module)
    info = dtypes.at_run_time(module, TensorInfo(event.shape, event.dtype))
    return Collective(
        event.kind, axis, direction, info.dtype, info.bytes, tensor, module or "root", 1, event.rule
    )


def _loss_collectives(binding: Binding, axis: AxisProof) -> Iterator[Collective]:
    """The vocab-parallel loss: the largest logit of each row, then two sums; nothing in the backward pass."""
    loss, logits = axis.block.value.loss, find_logits(binding.graph.main_function)
    if loss is None or logits is None:
        return
    rows = logits[1].shape[:-1]
    dtype = "float64" if logits[1].dtype == "float64" else "float32"
    for tensor, shape in (("maxima of the loss", rows), ("sums of the loss", (2, *rows))):
        size = TensorInfo(shape, dtype).bytes
        yield Collective("all_reduce", axis.axis, "forward", dtype, size, tensor, "root", 1, loss)


def _gradient_all_reduces(binding: Binding, axis: AxisProof, dtypes: MixedPrecision) -> Iterator[Collective]:
    """The all-reduces of partial gradients: one a parameter, or one for all names of a tied one."""
    first_name = {name: tie[0] for tie in binding.graph.ties for name in tie}
    done: set[str] = set()
    for caller, analysis in axis.analysis.walk():
        for name, (info, rule) in analysis.summed_gradients.items():
            full_name = join_module_path(caller, name)
            param = first_name.get(full_name, full_name)
            if param in done:
                continue
            done.add(param)
            module, _, own_name = full_name.rpartition(".")
            summed = dtypes.of_summed_gradient(dtypes.at_run_time(module, info))
            yield Collective("all_reduce", axis.axis, "backward", summed.dtype, summed.bytes,
                             f"gradient of {own_name}", module or "root", 1, rule)  # fmt: skip
