"""The verbs for Python: load, parse, check, convert."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planc.check_result import Result
from planc.compile import check_document
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.plan import Plan
from planc.ir.resolved import MAX_DEVICES, Settings
from planc.ir.source import Source
from planc.report.text import render_diagnostic
from planc.resolve import resolve
from planc.resolve.options import option_error
from planc.syntax.data.serialize import to_data
from planc.syntax.read_file import read_path, read_source
from planc.syntax.unparse import unparse_round_trip

__all__ = [
    "PlanError", "capture", "check", "from_data", "load", "load_weights", "materialize", "parallelize", "parse", "to_data", "to_text",
]  # fmt: skip

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph

MAX_NESTING = 200

PlanLike = Plan | str | os.PathLike[str] | Mapping[str, Any]
"""A plan, the path of one, the name of a shipped one, or its data form."""


class PlanError(Exception):
    """A plan with errors; `diagnostics` says which."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        self.diagnostics, self.reasons = diagnostics, reasons
        """What is wrong with the plan, and what else keeps it from being applied."""
        super().__init__("\n" + "\n".join((*reasons, *(render_diagnostic(d) for d in diagnostics))))


def parse(text: str, name: str = "<text>") -> Plan:
    """Read a plan from its text.

    Raises:
        PlanError: the text is not a plan.
    """
    return _plan_or_raise(read_source(Source(name, text)))


def from_data(data: Mapping[str, Any]) -> Plan:
    """Read a plan from its data form: what JSON or YAML holds.

    Raises:
        PlanError: the data has not the shape of a plan.
    """
    return _plan_or_raise(_document_from_data(data))


def load(plan: str | os.PathLike[str]) -> Plan:
    """Read a plan from a file, or one shipped with planc by its name.

    Raises:
        PlanError: the file holds no plan.
        planc.syntax.read_file.Unreadable: there is no such file.
    """
    return _plan_or_raise(to_document(plan))


def to_text(plan: Plan) -> str:
    """The canonical text of a plan.

    Raises:
        PlanError: the plan has faults that no text can have.
    """
    text = unparse_round_trip(plan)
    if text is None:
        raise PlanError(check_document(_document_from_data(to_data(plan))).diagnostics)
    return text


def check(
    plan: PlanLike,
    *,
    tp: int | None = None,
    dp: int | None = None,
    mesh: Mapping[str, int] | None = None,
    world_size: int | None = None,
    gpus_per_node: int | None = None,
    options: Mapping[str, ExprValue] | None = None,
    model: ModelGraph | str | os.PathLike[str] | None = None,
) -> Result:
    """Check a plan as `planc check` does. Nothing is raised for a faulty plan: look at
    `verdict` and `diagnostics`.

    Args:
        plan: a `Plan`, a path, the name of a shipped plan, or the data form.
        tp, dp, mesh: devices along an axis.
        world_size: devices in all.
        gpus_per_node: devices of one node.
        options: values for options of the plan.
        model: a captured graph, or what names one: a graph file, the name of a shipped graph,
            `hf:CLASS`, `FILE.py:FACTORY`, ...; `none` for no model. By default the model that
            the plan names.

    Raises:
        planc.syntax.read_file.Unreadable: the plan is a path, and there is no such file.
        planc.ModelFault: the model cannot be had; its `diagnostic` says why.
        ValueError: a number that is not a number of devices, an axis given two sizes, an option
            that the plan does not have, or of the wrong type.
    """
    settings = Settings(_mesh_sizes(mesh or {}, tp=tp, dp=dp), world_size, gpus_per_node, dict(options or {}))
    for count in (*settings.axis_sizes.values(), world_size, gpus_per_node):
        if count is not None and not (type(count) is int and 1 <= count <= MAX_DEVICES):
            raise ValueError(f"{count!r} is not a number of devices")
    document = to_document(plan)
    result = check_document(document, settings, _model_graph(document, model))
    if fault := option_error([result.resolved.documents], settings.options):
        raise ValueError(fault)
    return result


def capture(model: str, *, inputs: Sequence[str] = ()) -> ModelGraph:
    """Capture a model as `planc capture` does. This imports torch.

    Args:
        model: `hf:CLASS`, `hf:CLASS?NAME=VALUE&...`, `hf:config.json`, `package.module:factory`,
            `file.py:factory`, or a graph file.
        inputs: inputs of the forward pass, each as `NAME=DTYPE[d0,d1,...]`.

    Raises:
        planc.ModelFault: the model cannot be captured; its `diagnostic` says why.
    """
    from planc.torch.capture.from_reference import capture_reference as capture_model

    return capture_model(model, list(inputs))


def parallelize(
    model: Any,
    plan: PlanLike,
    mesh: Any,
    *,
    graph: ModelGraph | str | os.PathLike[str] | None = None,
    inputs: Any = None,
    options: Mapping[str, ExprValue] | None = None,
) -> Any:
    """Split a model as a plan says, in place. The plan is proved on this very model first; until it
    is, nothing is changed.

    Parameters become DTensors over the tensor axes, computation stays local, boundaries
    communicate. Then recompute and compile regions are set, and FSDP2 shards the units.

    Args:
        model: an `nn.Module`; its weights are taken as they are, the same on every rank.
        plan: a `Plan`, a path, the name of a shipped plan, or the data form.
        mesh: a `DeviceMesh` whose axes have the names of the plan's.
        graph: the captured graph of this model; by default it is captured from the model itself.
        inputs: what the model is called with, for that capture: a sequence or a mapping of tensors,
            with an even batch. Models of transformers need none.
        options: values for options of the plan.

    Returns:
        The model.

    Raises:
        PlanError: the plan is refuted or not proved, or does not fit the model or the mesh.
        planc.ModelFault: the model cannot be captured.
        ValueError: an option that the plan does not have, or of the wrong type.
    """
    from planc.graph.model_source import graph_for_plan
    from planc.ir.graph import ModelGraph
    from planc.prepare_plan import NotApplicable, prove_and_apply

    document, given = to_document(plan), dict(options or {})
    if fault := option_error([resolve(document, Settings(options=given)).documents], given):
        raise ValueError(fault)
    known = (
        graph
        if graph is None or isinstance(graph, ModelGraph)
        else graph_for_plan(document, os.fspath(graph))
    )
    try:
        prove_and_apply(model, document, mesh, graph=known, inputs=inputs, options=given)
    except NotApplicable as bad:
        raise PlanError(bad.diagnostics, bad.reasons) from None
    return model


def load_weights(model: Any, path: str | os.PathLike[str]) -> Any:
    """Load weights into a model, split by `planc.parallelize` or not. Every rank calls this, and reads
    only the slices that it holds.

    Args:
        model: an `nn.Module`.
        path: a safetensors file, a folder of them (of Hugging Face, with or without an index), a file
            of `torch.save`, or a folder of `torch.distributed.checkpoint`. Names and pieces
            of files that transformers converts are converted.

    Returns:
        The model.

    Raises:
        planc.WeightsError: names are missing or surplus, or shapes are wrong: all of them are listed,
            and nothing has been changed; or there is nothing to read.
    """
    from planc.torch.weights.load import load_into

    load_into(model, path)
    return model


def materialize(
    model: Any,
    device: Any = None,
    *,
    seed: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    build: Callable[[], Any] | None = None,
) -> Any:
    """Give memory and numbers to a model that was made on the meta device, split or not. A rank
    allocates its own shards only; every buffer gets the number that the model's class gives it.

    With a seed the numbers are those of `torch.manual_seed(seed)` and the unsplit model made after it,
    on every mesh: each rank draws them all, and keeps its slices of one tensor after another.

    Args:
        model: an `nn.Module`.
        device: where its shards lie; by default where the mesh is, else the CPU.
        seed: what the numbers begin with; or
        weights: what `load_weights` reads.
        build: makes the unsplit model; models of transformers need none.

    Returns:
        The model.

    Raises:
        planc.WeightsError: the weights do not fit, or how the model is made cannot be followed;
            nothing has been changed.
    """
    from planc.torch.weights.materialize import materialize_model as give

    give(model, device, seed, weights, build)
    return model


def _model_graph(document: Document, model: ModelGraph | str | os.PathLike[str] | None) -> ModelGraph | None:
    from planc.graph.model_source import graph_for_plan
    from planc.ir.graph import ModelGraph

    if isinstance(model, ModelGraph):
        return model
    return graph_for_plan(document, None if model is None else os.fspath(model))


def _mesh_sizes(mesh: Mapping[str, int], **named: int | None) -> dict[str, int]:
    """Sizes by axis, each said once."""
    sizes = dict(mesh)
    for name, size in named.items():
        if size is not None and sizes.setdefault(name, size) != size:
            raise ValueError(f"axis '{name}' is given two sizes: {sizes[name]} and {size}")
    return sizes


def to_document(plan: PlanLike) -> Document:
    """A plan with the text it was read from, faults and all.

    Raises:
        planc.syntax.read_file.Unreadable: the plan is a path, and there is no such file.
    """
    if isinstance(plan, Plan):
        # By way of the data form: objects, too, are held against the schema.
        document = _document_from_data(to_data(plan))
        if document.diagnostics:
            return document
        text = unparse_round_trip(document.plan)
        if text is None:
            return document
        return read_source(Source(f"<plan {plan.name or 'without a name'}>", text, folder=os.getcwd()))
    if isinstance(plan, Mapping):
        return _document_from_data(plan)
    return read_path(os.fspath(plan))


def _document_from_data(data: Mapping[str, Any]) -> Document:
    import yaml

    # Data is placed in the text it would be written as, so that faults have a place.
    text = yaml.safe_dump(_builtin_containers(data), sort_keys=False, allow_unicode=True)
    return read_source(Source("<data>", text, "yaml", os.getcwd()))


def _builtin_containers(value: Any, depth: int = 0) -> Any:
    """Dicts and lists in place of other mappings and sequences (OmegaConf, Hydra)."""
    if depth > MAX_NESTING:
        raise ValueError("this data is nested too deeply, or holds itself")
    if isinstance(value, Mapping):
        return {str(k): _builtin_containers(v, depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_builtin_containers(v, depth + 1) for v in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _plan_or_raise(document: Document) -> Plan:
    if document.diagnostics:
        raise PlanError(document.diagnostics)
    return document.plan
