"""From a plan to a split model: prove the plan on this very model, lower it, apply it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from planc.check_result import Result
from planc.compile import apply, check_document, lower
from planc.ir.diagnostic import Diagnostic, ModelFault
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.ir.sync import Sync
from planc.lower.lowering_error import LoweringError
from planc.lower.merge_lowered import merge_lowered


class NotApplicable(Exception):
    """A plan that cannot be applied: the diagnostics of the proof, and reasons that are not diagnostics."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        self.diagnostics, self.reasons = diagnostics, reasons
        super().__init__("; ".join((*reasons, *(d.headline for d in diagnostics))))


class PreparedPlan(Record):
    """A plan that is proved on a model and a mesh, and its instructions for each module."""

    result: Result
    lowered: Lowered


def prepare_plan(
    model: Any,
    document: Document,
    sizes: Mapping[str, int],
    *,
    graph: ModelGraph | None,
    inputs: Any,
    options: Mapping[str, ExprValue],
) -> PreparedPlan:
    """Prove a plan on a model. The model is not changed, and no other rank takes part.

    Args:
        model: an `nn.Module`.
        sizes: the axes of the mesh, outermost first.
        graph: the model's graph; None: it is captured.
        inputs: tensors for that capture, as a sequence or a mapping; None: a transformers model needs none.

    Raises:
        NotApplicable: the plan is refuted or not proved, the mesh lacks an axis, the model is already
            split, or the graph is of another model.
        ModelFault: the model cannot be captured.
    """
    from planc.torch.apply.applicable import already_split
    from planc.torch.apply.module_graph import capture_module, graph_mismatch

    if reason := already_split(model):
        raise NotApplicable((), (reason,))
    known = graph if graph is not None else capture_module(model, inputs)
    if reason := graph_mismatch(model, known):
        raise NotApplicable((), (reason,))
    settings = Settings(sizes, options=dict(options))
    result = check_document(document, settings, known)
    lowered = _lower_if_proved(result, tuple(sizes))
    if graph is None:
        lowered = _serve_eval_mode(lowered, model, document, settings, inputs)
    return PreparedPlan(result, lowered)


def prove_and_apply(
    model: Any,
    document: Document,
    mesh: Any,
    *,
    graph: ModelGraph | None,
    inputs: Any,
    options: Mapping[str, ExprValue],
    sync: Sync | None,
) -> Result:
    """Prove a plan on a model, then apply it in place. Nothing is changed before everything is proved, on every rank.

    Args:
        model: an `nn.Module`.
        mesh: a `DeviceMesh` with names; every rank of it calls this.
        graph, inputs: as `prepare_plan` takes them.
        sync: what happens where ranks begin with other weights; None: no rank asks another.

    Raises:
        NotApplicable, ModelFault: as `prepare_plan` does, the mesh has no names, or the ranks' models differ.
    """
    from planc.torch.checkpoints.save_pretrained import save_full_weights
    from planc.torch.compat import without_compiler

    model = without_compiler(model)
    names = mesh.mesh_dim_names or ()
    if len(names) != mesh.ndim:
        reason = "the mesh has no names for its axes: init_device_mesh(..., mesh_dim_names=(...))"
        raise NotApplicable((), (reason,))
    sizes = {name: mesh.size(i) for i, name in enumerate(names)}
    try:
        prepared = prepare_plan(model, document, sizes, graph=graph, inputs=inputs, options=options)
    except Exception as error:
        _sync(model, mesh, sync, error)
        raise
    _sync(model, mesh, sync)
    apply(prepared.lowered, model, mesh)
    save_full_weights(model)
    if not any(mesh.get_coordinate() or ()):
        for accepted in prepared.result.accepted:
            warnings.warn(f"planc: {accepted.summary}", stacklevel=3)
    return prepared.result


def _sync(model: Any, mesh: Any, sync: Sync | None, error: Exception | None = None) -> None:
    """Make sure that all ranks go on, and begin with the same model.

    Args:
        error: why this rank cannot go on, which it will raise itself.

    Raises:
        NotApplicable: another rank cannot go on, or the models differ. Every rank raises.
    """
    if sync is None or mesh.size() == 1:
        return
    from planc.torch.train.mesh_ranks import MeshRanks
    from planc.torch.train.sync_params import sync_params

    failure = None if error is None else str(error) or type(error).__name__
    try:
        sync_params(model, MeshRanks.of_mesh(mesh), broadcast=sync == "broadcast", failure=failure)
    except ValueError as reason:
        if error is None:
            raise NotApplicable((), (str(reason),)) from None


def _serve_eval_mode(
    lowered: Lowered, model: Any, document: Document, settings: Settings, inputs: Any
) -> Lowered:
    """The instructions of a model that trains, for eval mode too, where its code may take another branch."""
    from planc.torch.apply.module_graph import capture_module
    from planc.torch.capture.training_branches import branches_on_training

    if not lowered.tensor or not branches_on_training(model):
        return lowered
    try:
        graph = capture_module(model, inputs, training=False)
        result = check_document(document, settings.with_(idle_accepts=True), graph)
        if result.verdict == "proved":
            return merge_lowered(lowered, lower(result))
        found = [*(each.headline for each in result.diagnostics if each.is_error), result.verdict]
        return lowered.with_(eval_error=found[0])
    except (LoweringError, ModelFault) as error:
        return lowered.with_(eval_error=str(error))


def _lower_if_proved(result: Result, axis_names: tuple[str, ...]) -> Lowered:
    from planc.torch.apply.applicable import inapplicable_reason

    missing = [axis.name for axis in result.resolved.axes if axis.name not in axis_names and axis.size != 1]
    if missing:
        has = f"it has {', '.join(axis_names)}"
        raise NotApplicable(
            result.diagnostics, tuple(f"the mesh has no axis '{name}'; {has}" for name in missing)
        )
    if result.is_refuted:
        raise NotApplicable(result.diagnostics)
    if result.verdict != "proved":
        skipped = tuple(f"{check.check}: {check.reason}" for check in result.skipped)
        raise NotApplicable(result.diagnostics, skipped)
    try:
        lowered = lower(result)
    except LoweringError as error:
        raise NotApplicable((), (str(error),)) from None
    if reason := inapplicable_reason(lowered, axis_names):
        raise NotApplicable((), (reason,))
    return lowered
