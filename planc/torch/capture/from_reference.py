"""Capturing a model: from what it is called on the command line to its graph."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.open_graph import open_graph
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
from planc.torch.models.model_reference import parse_reference

_READS_NUMBERS = (DataDependentOutputException, DynamicOutputShapeException)
_NO_FAKE = (UnsupportedFakeTensorException, UnsupportedOperatorException)


def capture_reference(
    reference: str, inputs: Sequence[str] = (), *, source_name: str = "MODEL"
) -> ModelGraph:
    """The graph of a model.

    Args:
        reference: `hf:CLASS`, `hf:CLASS?NAME=VALUE&...`, `hf:path/to/config.json`,
            `package.module:factory`, `file.py:factory`, or a graph file.
        inputs: what the model is called with, each `NAME=DTYPE[d0,d1,...]`.
        word: what the reference is called in diagnostics.

    Raises:
        planc.graph.capture_error.CaptureFault: the model cannot be captured.
    """
    source = Source(source_name, reference)
    parsed = parse_reference(source)
    given = parse_input_options(inputs)
    if parsed.kind == "graph":
        if given:
            raise_capture_error(
                "G804", word_label(given[0].source), "a graph is captured already: it takes no inputs"
            )
        return open_graph(parsed.name, source)
    arguments: tuple[Any, ...] = ()
    if parsed.kind == "factory":
        model, arguments, keywords = factory.build_from_factory(parsed, source)
        facts: dict[str, int | bool] = {}
        versions = {"torch": str(torch.__version__)}
    else:
        model, keywords, facts = hugging_face.build_transformers_model(parsed, source)
        versions = {
            "torch": str(torch.__version__),
            "transformers": hugging_face.import_transformers().__version__,
        }
    arguments, keywords = override_inputs(model, arguments, keywords, given)
    check_signature(model, arguments, keywords, source)
    name = _named(reference)
    versions["torch"] = versions["torch"].partition("+")[0]
    return capture_target(CaptureTarget(name, model, arguments, keywords, facts, versions), source)


def _named(reference: str) -> str:
    """The reference without folders: the same model gives the same bytes anywhere."""
    if reference.startswith("hf:"):
        path, mark, query = reference.removeprefix("hf:").partition("?")
        return f"hf:{os.path.basename(path)}{mark}{query}"
    return os.path.basename(reference)


def capture_target(target: CaptureTarget, source: Source) -> ModelGraph:
    """The graph of a model that is built already; it is spent afterwards.

    Raises:
        planc.graph.capture_error.CaptureFault: it cannot be captured.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return trace(target)
    except TraceError as ended:
        return _refuse_run(target.model, ended, source)


def _refuse_run(model: nn.Module, ended: TraceError, source: Source) -> ModelGraph:
    raised, place = ended.raised, exception_location(ended.raised)
    at = [f"where: {place}"] if place else []
    known = dict(model.named_modules(remove_duplicate=False)).get(ended.module, model)
    module = f"{ended.module or 'the model itself'} ({type(known).__name__})"
    operation = ended.last_op or None
    if isinstance(raised, _READS_NUMBERS):
        reads = _reads(raised, ended.last_op)
        return raise_capture_error(
            "G802", word_label(source), "the model's code looks at the numbers in a tensor",
            *at, "needed: code that does the same whatever the numbers are",
            "help: replace .item(), .tolist(), `if tensor:` and boolean masks by torch.where and the like, "
            "or capture the part of the model that has none",
            module=module, operation=reads,
        )  # fmt: skip
    if isinstance(raised, _NO_FAKE):
        return raise_capture_error(
            "G802", word_label(source), "an operation is not known without numbers", *at,
            f"raised: {exception_line(raised)}", "help: register a fake for it with torch.library.register_fake",
            module=module, operation=operation,
        )  # fmt: skip
    return raise_capture_error(
        "G802", word_label(source), "the model raises when it is run", f"raised: {exception_line(raised)}", *at,
        "help: give inputs that it takes with --input NAME=DTYPE[d0,d1,...]",
        module=module, operation=operation,
    )  # fmt: skip


def _reads(raised: BaseException, operation: str) -> str:
    """What looked at numbers; a test of a tensor is not seen by itself."""
    if operation in DATA_READS:
        return operation.strip("_")
    return operation if isinstance(raised, _READS_NUMBERS[1]) else f"bool, or the like, after {operation}"
