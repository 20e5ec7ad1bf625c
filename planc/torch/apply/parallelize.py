"""`planc.parallelize`: a plan, proved on this very model, and applied to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from planc.compile import Result, check_document
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.lower.lower_plan import lower
from planc.lower.tensor_axis import LoweringError
from planc.torch.apply.fsdp import (
    apply_compile,
    apply_fsdp,
    apply_recompute,
    compile_backend_error,
    fsdp_unit_names,
    mesh_order_error,
    selective_recompute_error,
)
from planc.torch.apply.module_graph import capture_module, graph_mismatch
from planc.torch.apply.tensor_parallel import apply_tensor_parallel
from planc.torch.apply.vocab_parallel import apply_vocab_parallel_loss


class NotApplicable(Exception):
    """A plan that cannot be applied: the diagnostics of the proof, or a reason beside them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        self.diagnostics, self.reasons = diagnostics, reasons
        super().__init__("; ".join((*reasons, *(d.headline for d in diagnostics))))


class PreparedPlan(Record):
    """A plan, proved on a model and a mesh, and what it tells the model."""

    result: Result
    lowered: Lowered


def prepare_plan(
    model: nn.Module,
    document: Document,
    sizes: Mapping[str, int],
    *,
    graph: ModelGraph | None,
    inputs: Sequence[Tensor] | Mapping[str, Tensor] | None,
    options: Mapping[str, ExprValue],
) -> PreparedPlan:
    """Prove a plan on a model. Nothing is changed, and no other rank is asked.

    Args:
        sizes: the axes of the mesh, outermost first.

    Raises:
        NotApplicable: the plan is refuted or not proved, the mesh lacks an axis, the model is split
            already, or is another one than the graph's.
        ModelFault: the model cannot be captured.
    """
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise NotApplicable((), ("the model is split already: some of its parameters are DTensors",))
    found = graph if graph is not None else capture_module(model, inputs)
    if why := graph_mismatch(model, found):
        raise NotApplicable((), (why,))
    result = check_document(document, Settings(sizes, options=dict(options)), found)
    return PreparedPlan(result, _lower_if_proved(result, tuple(sizes)))


def prove_and_apply(
    model: nn.Module,
    document: Document,
    mesh: DeviceMesh,
    *,
    graph: ModelGraph | None,
    inputs: Sequence[Tensor] | Mapping[str, Tensor] | None,
    options: Mapping[str, ExprValue],
) -> Result:
    """Prove a plan on a model, then apply it, in place. Nothing is changed before all is proved.

    Raises:
        NotApplicable, ModelFault: as `prepare` does, or the mesh has no names.
    """
    names = mesh.mesh_dim_names or ()
    if len(names) != mesh.ndim:
        why = "the mesh has no names for its axes: init_device_mesh(..., mesh_dim_names=(...))"
        raise NotApplicable((), (why,))
    sizes = {name: mesh.size(i) for i, name in enumerate(names)}
    made = prepare_plan(model, document, sizes, graph=graph, inputs=inputs, options=options)
    apply_lowered(model, made.lowered, mesh)
    return made.result


def _lower_if_proved(result: Result, names: tuple[str, ...]) -> Lowered:
    """What a result tells the model, if it is proved."""
    missing = [axis.name for axis in result.resolved.axes if axis.name not in names and axis.size != 1]
    if missing:
        has = f"it has {', '.join(names)}"
        raise NotApplicable(
            result.diagnostics, tuple(f"the mesh has no axis '{name}'; {has}" for name in missing)
        )
    if result.is_refuted:
        raise NotApplicable(result.diagnostics)
    if result.verdict != "proved" or result.binding is None or result.proof is None:
        open_ = tuple(f"{skipped.check}: {skipped.reason}" for skipped in result.skipped)
        raise NotApplicable(result.diagnostics, open_)
    try:
        lowered = lower(result.binding, result.proof)
    except LoweringError as bad:
        raise NotApplicable((), (str(bad),)) from None
    if (
        why := mesh_order_error(lowered, names)
        or selective_recompute_error(lowered)
        or compile_backend_error(lowered)
    ):
        raise NotApplicable((), (why,))
    return lowered


def apply_lowered(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:
    """Do what a lowered plan says: split, recompute, compile, shard."""
    _flatten_used_axes(lowered, mesh)
    for axis in lowered.tensor:
        apply_tensor_parallel(model, axis, mesh[axis.axis])
    apply_recompute(model, lowered.recompute)
    if os.environ.get("TORCH_COMPILE_DISABLE") != "1":
        apply_compile(model, lowered.compile, fsdp_unit_names(lowered))
    if lowered.fsdp is not None:
        apply_fsdp(model, lowered.fsdp, mesh)
    for axis in lowered.tensor:
        if axis.loss == "vocab_parallel":
            apply_vocab_parallel_loss(model, axis, mesh[axis.axis].get_group())


def _flatten_used_axes(lowered: Lowered, mesh: DeviceMesh) -> None:
    """Make one group of all the ranks that share a model: torch then takes the norm of gradients in
    one step, and not axis by axis."""
    fsdp = lowered.fsdp
    used = {axis.axis for axis in lowered.tensor}
    used |= {name for name in (fsdp.axis, fsdp.replicate) if name is not None} if fsdp else set()
    names = tuple(name for name in mesh.mesh_dim_names or () if name in used)
    if len(names) > 1:
        mesh[names]._flatten()


__all__ = ["NotApplicable", "PreparedPlan", "apply_lowered", "prepare_plan", "prove_and_apply"]
