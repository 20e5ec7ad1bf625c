"""Capturing a model: from a reference, or from a module that is built already, to its graph."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.open_graph import open_graph, refuse_inputs
from planc.ir.graph import ModelGraph
from planc.ir.source import Source
from planc.torch.capture.op_names import DATA_READS
from planc.torch.capture.trace import CaptureTarget, TraceError, trace
from planc.torch.compat import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from planc.torch.models import factory, hugging_face
from planc.torch.models.example_inputs import check_signature, override_inputs, parse_input_options
from planc.torch.models.exception_text import exception_line, exception_location
from planc.torch.models.model_class import import_transformers
from planc.torch.models.model_facts import model_facts
from planc.torch.models.model_reference import parse_reference

_READS_VALUES = (DataDependentOutputException, DynamicOutputShapeException)
_NO_FAKE = (UnsupportedFakeTensorException, UnsupportedOperatorException)


def capture_reference(
    reference: str, inputs: Sequence[str] = (), *, source_name: str = "MODEL"
) -> ModelGraph:
    """The graph of the model that a reference names.

    Args:
        reference: `hf:CLASS`, `hf:CLASS?NAME=VALUE&...`, `hf:path/to/config.json`,
            `package.module:factory`, `file.py:factory`, or a graph file.
        inputs: inputs of the model, each `NAME=DTYPE[d0,d1,...]`.
        source_name: the name of the reference in diagnostics.

    Raises:
        planc.graph.capture_error.CaptureError: planc cannot capture the model.
    """
    source = Source(source_name, reference)
    parsed = parse_reference(source)
    options = parse_input_options(inputs)
    if parsed.kind == "graph":
        if inputs:
            refuse_inputs(inputs)
        return open_graph(parsed.name, source)
    arguments: tuple[Any, ...] = ()
    versions = {"torch": str(torch.__version__).partition("+")[0]}
    if parsed.kind == "factory":
        model, arguments, keywords = factory.build_from_factory(parsed, source)
    else:
        model, keywords, _ = hugging_face.build_transformers_model(parsed, source)
        versions["transformers"] = import_transformers().__version__
    arguments, keywords = override_inputs(model, arguments, keywords, options)
    check_signature(model, arguments, keywords, source)
    name = _without_folders(reference)
    given = tuple([option.text for option in options])
    target = CaptureTarget(name, model, arguments, keywords, model_facts(model), versions, given)
    return capture_target(target, source)


def _without_folders(reference: str) -> str:
    """The reference without folders, so that a model gives the same bytes wherever its file lies."""
    if reference.startswith("hf:"):
        path, mark, query = reference.removeprefix("hf:").partition("?")
        return f"hf:{os.path.basename(path)}{mark}{query}"
    return os.path.basename(reference)


def capture_target(target: CaptureTarget, source: Source) -> ModelGraph:
    """The graph of a model that is built already. The capture changes the model: do not use it afterwards.

    Args:
        target: the model and its inputs.
        source: the words that name the model in diagnostics.

    Raises:
        planc.graph.capture_error.CaptureError: planc cannot capture the model.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return trace(target)
    except TraceError as error:
        return _raise_trace_error(target.model, error, source)


def _raise_trace_error(model: nn.Module, error: TraceError, source: Source) -> ModelGraph:
    raised, location = error.raised, exception_location(error.raised)
    where = [f"where: {location}"] if location else []
    failed = dict(model.named_modules(remove_duplicate=False)).get(error.module, model)
    module = f"{error.module or 'the model itself'} ({type(failed).__name__})"
    label, operation = word_label(source), error.last_op or None
    if isinstance(raised, _READS_VALUES):
        return raise_capture_error(
            "G802", label, "the model's code reads the values of a tensor",
            *where, "needed: code that does the same for all values",
            "help: replace .item(), .tolist(), `if tensor:` and boolean masks by torch.where and the like, "
            "or capture the part of the model that has none",
            module=module, operation=_reading_op(raised, error.last_op),
        )  # fmt: skip
    if isinstance(raised, _NO_FAKE):
        return raise_capture_error(
            "G802", label, "an operation cannot run on tensors without values", *where,
            f"raised: {exception_line(raised)}", "help: register a fake for it with torch.library.register_fake",
            module=module, operation=operation,
        )  # fmt: skip
    return raise_capture_error(
        "G802", label, "the model raises when it runs", f"raised: {exception_line(raised)}", *where,
        "help: give it other inputs with --input NAME=DTYPE[d0,d1,...]",
        module=module, operation=operation,
    )  # fmt: skip


def _reading_op(raised: BaseException, last_op: str) -> str:
    """The operation that reads values. No mode sees `if tensor:` itself."""
    if last_op in DATA_READS:
        return last_op.strip("_")
    is_named = isinstance(raised, DynamicOutputShapeException)
    return last_op if is_named else f"bool, or the like, after {last_op}"
