"""The functions that `planc` exports: read, check, convert, capture and apply plans."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from planc.check_result import Result
from planc.compile import check_document, read
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.plan import Plan
from planc.ir.resolved import MAX_DEVICES, Settings
from planc.ir.source import Source
from planc.ir.sync import Sync
from planc.report.text import render_diagnostic
from planc.resolve import resolve
from planc.resolve.options import option_error
from planc.syntax.data.serialize import to_data
from planc.syntax.read_file import read_source
from planc.syntax.unparse import unparse_round_trip

__all__ = [
    "PlanError", "capture", "check", "from_data", "load", "load_weights", "materialize", "parallelize", "parse", "to_data", "to_text",
]  # fmt: skip

if TYPE_CHECKING:
    from planc.ir.graph import ModelGraph

MAX_NESTING = 200
"""Levels of dictionaries and lists in the data form of a plan."""

PlanLike = Plan | str | os.PathLike[str] | Mapping[str, Any]
"""A plan, the path of a plan, the name of a shipped plan, or the data form of a plan."""


class PlanError(Exception):
    """A plan that has errors, or that planc cannot apply."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], reasons: tuple[str, ...] = ()) -> None:
        self.diagnostics = diagnostics
        """What is wrong with the plan."""
        self.reasons = reasons
        """What else keeps planc from applying it, a sentence each."""
        super().__init__("\n" + "\n".join((*reasons, *(render_diagnostic(d) for d in diagnostics))))


def parse(text: str, name: str = "<text>") -> Plan:
    """Read a plan from its text.

    Args:
        text: the text of a `.plan` file.
        name: what diagnostics call the text.

    Raises:
        PlanError: the text is not a plan.
    """
    return _plan_or_raise(read_source(Source(name, text)))


def from_data(data: Mapping[str, Any]) -> Plan:
    """Read a plan from its data form, the dictionaries and lists of a JSON or YAML plan.

    Raises:
        PlanError: the data does not match the schema of `planc schema`.
        ValueError: the data is nested more than 200 levels deep, or contains itself.
    """
    return _plan_or_raise(_document_from_data(data))


def load(plan: str | os.PathLike[str]) -> Plan:
    """Read a plan from a `.plan`, `.json` or `.yaml` file, or a shipped plan by its name.

    Raises:
        PlanError: the file does not contain a plan.
        planc.syntax.read_file.PlanFileError: planc cannot find or read the file.
    """
    return _plan_or_raise(to_document(plan))


def to_text(plan: Plan) -> str:
    """The canonical text of a plan, as `planc fmt` writes it.

    Raises:
        PlanError: the plan has errors that no text can express.
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
    inputs: Sequence[str] = (),
) -> Result:
    """Check a plan as `planc check` does. An error in the plan is not raised: see `verdict` and
    `diagnostics` of the result.

    Args:
        plan: a `Plan`, a path, the name of a shipped plan, or the data form.
        tp, dp: the number of devices along the axes `tp` and `dp`.
        mesh: the number of devices along any axes, by their names.
        world_size: the total number of devices; it determines the size of the one axis without a size.
        gpus_per_node: the number of devices of a node, to warn about tensor parallelism across nodes.
        options: values for options of the plan, by their names.
        model: a captured graph, or a reference to a model: a graph file, the name of a shipped graph,
            `hf:CLASS`, `FILE.py:FACTORY`, ...; `none` for no model. By default the model that
            the plan names.
        inputs: inputs of the model for its capture, as `capture` takes them.

    Returns:
        The verdict (`proved`, `refuted`, `unproved`, or `checked` without a model), the diagnostics, and
        the checks that planc could not make.

    Raises:
        planc.syntax.read_file.PlanFileError: the plan is a path, and planc cannot find or read the file.
        planc.ModelFault: planc cannot find or capture the model; `diagnostic` says why.
        ValueError: a size is not a number of devices, an axis has two sizes, or the plan does not have an
            option, or has it with another type.
    """
    settings = Settings(_mesh_sizes(mesh or {}, tp=tp, dp=dp), world_size, gpus_per_node, dict(options or {}))
    for count in (*settings.axis_sizes.values(), world_size, gpus_per_node):
        if count is not None and not (type(count) is int and 1 <= count <= MAX_DEVICES):
            raise ValueError(f"{count!r} is not a number of devices")
    document = to_document(plan)
    result = check_document(document, settings, _model_graph(document, model, inputs))
    if fault := option_error([result.resolved.documents], settings.options):
        raise ValueError(fault)
    return result


def capture(model: str, *, inputs: Sequence[str] = ()) -> ModelGraph:
    """Capture a model as `planc capture` does: run it once on fake tensors. This imports torch.

    Args:
        model: `hf:CLASS`, `hf:CLASS?NAME=VALUE&...`, `hf:config.json`, `package.module:factory`,
            `file.py:factory`, or a graph file.
        inputs: inputs of the forward pass, each as `NAME=DTYPE[d0,d1,...]`, with the shape in brackets; a
            number for NAME is a position.

    Returns:
        The graph of the model, with its modules, parameters and operations.

    Raises:
        planc.ModelFault: planc cannot find or capture the model; `diagnostic` says why.
    """
    from planc.torch.capture.from_reference import capture_reference

    return capture_reference(model, list(inputs))


def parallelize(
    model: Any,
    plan: PlanLike,
    mesh: Any,
    *,
    graph: ModelGraph | str | os.PathLike[str] | None = None,
    inputs: Any = None,
    options: Mapping[str, ExprValue] | None = None,
    sync: Sync | None = "check",
) -> Any:
    """Apply a plan to a model, in place. Every rank of the mesh calls this. planc first proves the plan on
    this very model, and changes nothing before.

    On tensor axes, parameters become DTensors, computation stays local, and boundaries communicate. Then
    planc sets up recomputation and compilation, and FSDP2 shards the units.

    Args:
        model: an `nn.Module`, with the same weights on every rank, which it keeps.
        plan: a `Plan`, a path, the name of a shipped plan, or the data form.
        mesh: a `DeviceMesh` whose axes have the names of the plan's axes.
        graph: the captured graph of this model; by default planc captures the model itself.
        inputs: the tensors to call the model with for that capture, a sequence or a mapping, with an even
            batch size. A transformers model needs none.
        options: values for options of the plan, by their names.
        sync: what happens where ranks begin with other weights or buffers. `check`: all ranks raise, and say which
            tensors differ on which ranks. `broadcast`: the first rank's are copied to the others. None: no rank
            asks another; for weights that are loaded later. What is on the meta device is not compared.

    Returns:
        The model.

    Raises:
        PlanError: planc refutes the plan or cannot prove it, it does not fit the model or the mesh, or the ranks'
            models differ. Where one rank cannot go on, all ranks raise, unless `sync` is None.
        planc.ModelFault: planc cannot capture the model.
        ValueError: the plan does not have an option, or has it with another type; `sync` is none of these.
    """
    from planc.graph.model_source import graph_for_plan
    from planc.ir.graph import ModelGraph
    from planc.prepare_plan import NotApplicable, prove_and_apply

    if sync not in (*get_args(Sync), None):
        raise ValueError(f"sync={sync!r}: needed: {', '.join(map(repr, get_args(Sync)))} or None")
    document, given = to_document(plan), dict(options or {})
    if fault := option_error([resolve(document, Settings(options=given)).documents], given):
        raise ValueError(fault)
    known = (
        graph
        if graph is None or isinstance(graph, ModelGraph)
        else graph_for_plan(document, os.fspath(graph))
    )
    try:
        prove_and_apply(model, document, mesh, graph=known, inputs=inputs, options=given, sync=sync)
    except NotApplicable as error:
        raise PlanError(error.diagnostics, error.reasons) from None
    return model


def full(value: Any) -> Any:
    """The full tensor of what a split model has: a parameter, a gradient, a result. Every rank calls this.

    Args:
        value: a tensor, or tuples, lists, mappings and dataclasses of tensors.

    Returns:
        The same with full tensors, in the order of the unsplit model. What is full already, or no tensor, stays as it is.
    """
    from planc.torch.apply.full_value import full_value

    return full_value(value)


def load_weights(model: Any, path: str | os.PathLike[str]) -> Any:
    """Load weights into a model, whether `planc.parallelize` has split it or not. Every rank calls this, and
    reads only the slices of its own shards.

    Args:
        model: an `nn.Module`.
        path: a safetensors file, a folder of them (as of Hugging Face, with or without an index), a file
            of `torch.save`, or a folder of `torch.distributed.checkpoint`. planc converts names and
            shapes of weights as transformers does.

    Returns:
        The model.

    Raises:
        planc.WeightsError: names are missing or surplus, or shapes differ: the error lists all of them, and
            no weight has changed; or there is nothing to read at the path.
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
    """Allocate and initialize a model that was built on the meta device, split or not. Each rank allocates
    only its own shards. Buffers get the values that the model's class gives them.

    With a seed, the parameters have the values that the unsplit model has if it is built after
    `torch.manual_seed(seed)`, on every mesh: each rank generates all values, one tensor after another, and
    keeps its shards.

    Args:
        model: an `nn.Module`.
        device: the device of its shards; by default that of the mesh, or the CPU.
        seed: the seed of the parameters; give either a seed or weights.
        weights: a path that `load_weights` reads the parameters from.
        build: builds the unsplit model; a transformers model needs none.

    Returns:
        The model.

    Raises:
        planc.WeightsError: the weights do not fit the model, planc cannot reproduce its initialization, or the ranks
            of a split model have different seeds; the model has not changed.
    """
    from planc.torch.train.same_seed import require_same_seed
    from planc.torch.weights.materialize import materialize_model

    require_same_seed(model, seed)
    materialize_model(model, device, seed, weights, build)
    return model


def _model_graph(
    document: Document, model: ModelGraph | str | os.PathLike[str] | None, inputs: Sequence[str]
) -> ModelGraph | None:
    from planc.graph.model_source import graph_for_plan
    from planc.ir.graph import ModelGraph

    if isinstance(model, ModelGraph):
        return model
    return graph_for_plan(document, None if model is None else os.fspath(model), inputs=inputs)


def _mesh_sizes(mesh: Mapping[str, int], **named: int | None) -> dict[str, int]:
    """The sizes of axes, from a mapping and from keywords."""
    sizes = dict(mesh)
    for name, size in named.items():
        if size is not None and sizes.setdefault(name, size) != size:
            raise ValueError(f"axis '{name}' is given two sizes: {sizes[name]} and {size}")
    return sizes


def to_document(plan: PlanLike) -> Document:
    """The document of a plan: the plan with its source and the diagnostics of reading it.

    Raises:
        planc.syntax.read_file.PlanFileError: the plan is a path, and planc cannot find or read the file.
    """
    if isinstance(plan, Plan):
        # Through the data form, so that records are checked against the schema too.
        document = _document_from_data(to_data(plan))
        if document.diagnostics:
            return document
        text = unparse_round_trip(document.plan)
        if text is None:
            return document
        return read_source(Source(f"<plan {plan.name or 'without a name'}>", text, folder=os.getcwd()))
    if isinstance(plan, Mapping):
        return _document_from_data(plan)
    return read(os.fspath(plan))


def _document_from_data(data: Mapping[str, Any]) -> Document:
    import yaml

    # Diagnostics of data point into the YAML text that it would be written as.
    text = yaml.safe_dump(_builtin_containers(data), sort_keys=False, allow_unicode=True)
    return read_source(Source("<data>", text, "yaml", os.getcwd()))


def _builtin_containers(value: Any, depth: int = 0) -> Any:
    """Dictionaries and lists for other mappings and sequences, as OmegaConf and Hydra have them."""
    if depth > MAX_NESTING:
        raise ValueError("this data is nested too deeply, or contains itself")
    if isinstance(value, Mapping):
        return {str(k): _builtin_containers(v, depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_builtin_containers(v, depth + 1) for v in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _plan_or_raise(document: Document) -> Plan:
    if document.diagnostics:
        raise PlanError(document.diagnostics)
    return document.plan
