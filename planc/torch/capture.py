"""Capturing a model: from what it is called on the command line to its graph."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._subclasses import fake_tensor

from planc.graphs.faults import refuse, whole
from planc.graphs.named import read_graph
from planc.ir.graph import ModelGraph
from planc.ir.source import Source
from planc.torch import factory, hf
from planc.torch.calls import TAKING
from planc.torch.faults import raised_line, raised_place
from planc.torch.inputs import check_call, read_inputs, with_inputs
from planc.torch.reference import parse
from planc.torch.run import Ended, Subject, run

_READS_NUMBERS = (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException)
_NO_FAKE = (fake_tensor.UnsupportedFakeTensorException, fake_tensor.UnsupportedOperatorException)


def capture(reference: str, inputs: Sequence[str] = (), *, word: str = "MODEL") -> ModelGraph:
    """The graph of a model.

    Args:
        reference: `hf:CLASS`, `hf:CLASS?NAME=VALUE&...`, `hf:path/to/config.json`,
            `package.module:factory`, `file.py:factory`, or a graph file.
        inputs: what the model is called with, each `NAME=DTYPE[d0,d1,...]`.
        word: what the reference is called in diagnostics.

    Raises:
        planc.graphs.faults.CaptureFault: the model cannot be captured.
    """
    source = Source(word, reference)
    parsed = parse(source)
    given = read_inputs(inputs)
    if parsed.kind == "graph":
        if given:
            refuse("G804", "a graph is captured already: it takes no inputs", whole(given[0].source))
        return read_graph(parsed.name, source)
    arguments: tuple[Any, ...] = ()
    if parsed.kind == "factory":
        model, arguments, keywords = factory.build(parsed, source)
        facts: dict[str, int | bool] = {}
        versions = {"torch": str(torch.__version__)}
    else:
        model, keywords, facts = hf.build(parsed, source)
        versions = {"torch": str(torch.__version__), "transformers": hf.library().__version__}
    arguments, keywords = with_inputs(model, arguments, keywords, given)
    check_call(model, arguments, keywords, source)
    name = _named(reference)
    versions["torch"] = versions["torch"].partition("+")[0]
    return captured(Subject(name, model, arguments, keywords, facts, versions), source)


def _named(reference: str) -> str:
    """The reference without folders: the same model gives the same bytes anywhere."""
    if reference.startswith("hf:"):
        path, mark, query = reference.removeprefix("hf:").partition("?")
        return f"hf:{os.path.basename(path)}{mark}{query}"
    return os.path.basename(reference)


def captured(subject: Subject, source: Source) -> ModelGraph:
    """The graph of a model that is built already; it is spent afterwards.

    Raises:
        planc.graphs.faults.CaptureFault: it cannot be captured.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run(subject)
    except Ended as ended:
        return _refuse_run(subject.model, ended, source)


def _refuse_run(model: nn.Module, ended: Ended, source: Source) -> ModelGraph:
    raised, place = ended.raised, raised_place(ended.raised)
    at = [f"where: {place}"] if place else []
    known = dict(model.named_modules(remove_duplicate=False)).get(ended.module, model)
    module = f"{ended.module or 'the model itself'} ({type(known).__name__})"
    operation = ended.operation or None
    if isinstance(raised, _READS_NUMBERS):
        reads = _reads(raised, ended.operation)
        return refuse(
            "G802", "the model's code looks at the numbers in a tensor", whole(source),
            *at, "needed: code that does the same whatever the numbers are",
            "help: replace .item(), .tolist(), `if tensor:` and boolean masks by torch.where and the like, "
            "or capture the part of the model that has none",
            module=module, operation=reads,
        )  # fmt: skip
    if isinstance(raised, _NO_FAKE):
        return refuse(
            "G802", "an operation is not known without numbers", whole(source), *at,
            f"raised: {raised_line(raised)}", "help: register a fake for it with torch.library.register_fake",
            module=module, operation=operation,
        )  # fmt: skip
    return refuse(
        "G802", "the model raises when it is run", whole(source), f"raised: {raised_line(raised)}", *at,
        "help: give inputs that it takes with --input NAME=DTYPE[d0,d1,...]",
        module=module, operation=operation,
    )  # fmt: skip


def _reads(raised: BaseException, operation: str) -> str:
    """What looked at numbers; a test of a tensor is not seen by itself."""
    if operation in TAKING:
        return operation.strip("_")
    return operation if isinstance(raised, _READS_NUMBERS[1]) else f"bool, or the like, after {operation}"
