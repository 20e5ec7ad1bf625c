"""What planc and torch say of one model: a line of the table."""

from __future__ import annotations

import re
import warnings
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from planc.check_result import Result
from planc.compile import check_document
from planc.graph.capture_error import CaptureError
from planc.graph.graph_reader import read_graph_file
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.ir.tree import leaves
from planc.paths import shipped_path
from planc.syntax.read_file import read_path, read_source
from tests.models.cases import Case
from tests.models.fsdp_plan import fsdp_plan

ROWS, LENGTH = 4, 16
_MAX_PARAMETERS = 400_000_000
_REASON_LENGTH = 160
SHIPPED = (
    "llama", "qwen2", "qwen3", "mistral", "gemma3", "phi3", "gpt2", "neox", "olmo2", "mixtral", "qwen3_moe",
    "deepseek_v3", "bert", "bert_mlm", "t5", "vit", "whisper",
)  # fmt: skip
"""The plans that are shipped."""
Row = dict[str, Any]


def judge_model(case: Case, *, with_numbers: bool = True) -> Row:
    """The line of a model.

    Args:
        case: the model.
        with_numbers: whether plans are verified by numbers, on processes forked from this one.
    """
    row: Row = {"source": case.source, "name": case.name}
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = row["reference"] = _small_reference(case)
        graph = _captured(reference, row)
        if graph is not None:
            _judge_plans(case, reference, graph, row, with_numbers=with_numbers)
        _run(reference, row)
    return row


def _small_reference(case: Case) -> str:
    if case.source != "transformers":
        return case.reference
    from planc.torch.verify.shrink_model import shrink_model

    try:
        return shrink_model(case.reference, {"dp": 2, "tp": 2}).reference
    except CaptureError:
        return case.reference


def _captured(reference: str, row: Row) -> ModelGraph | None:
    from planc.torch.capture.from_reference import capture_reference

    row["captured"] = False
    try:
        graph = capture_reference(reference)
    except CaptureError as error:
        found = error.diagnostic
        raised = [note for note in found.notes if note.startswith("raised: ")]
        row["reason"] = _short(f"{found.law.code} {found.message}; {'; '.join([*raised, _operation(found)])}")
        return None
    row["captured"], row["inputs"] = True, list(graph.inputs)
    return graph


def _operation(found: Any) -> str:
    parts = [found.module, found.operation]
    return " at ".join(str(part) for part in reversed(parts) if part)


def _judge_plans(case: Case, reference: str, graph: ModelGraph, row: Row, *, with_numbers: bool) -> None:
    settings = Settings({"dp": 2})
    document = read_source(Source("fsdp.plan", fsdp_plan(graph)))
    result = check_document(document, settings, graph)
    row["fsdp"] = result.verdict
    if result.verdict != "proved":
        row["reason"] = _first_finding(result)
    shipped = _shipped_plans().get(case.name) if case.source == "transformers" else None
    if shipped is not None:
        document, settings = read_path(shipped), Settings({"dp": 2, "tp": 2})
        result = check_document(document, settings, graph)
        row["tensor"] = result.verdict
        if result.verdict != "proved":
            row.setdefault("reason", _first_finding(result))
    if with_numbers and result.verdict == "proved" and (shipped or case.source == "torch"):
        row["numbers"] = _verified(document, settings, reference, graph)


def _first_finding(result: Result) -> str:
    """The first error, else what is unproved, with the module and the operation where it is."""
    found = sorted(result.diagnostics, key=lambda found: (not found.is_error, found.law.name != "not-proved"))
    if not found:
        return _short("; ".join(check.reason for check in result.skipped) or result.verdict)
    return _short(f"{found[0].law.code} {found[0].message}; {_operation(found[0])}")


def _short(text: str) -> str:
    """One line without paths, addresses and anything else that another machine would say otherwise."""
    line = re.sub(r"/\S+/site-packages/|0x[0-9a-f]+", "", " ".join(text.split())).strip("; ")
    return line if len(line) <= _REASON_LENGTH else f"{line[: _REASON_LENGTH - 3]}..."


@cache
def _shipped_plans() -> dict[str, str]:
    """The shipped plan for each class of transformers that one names."""
    found = {}
    for name in SHIPPED:
        with open(shipped_path("plans", f"{name}.plan"), encoding="utf-8") as file:
            model = re.search(r'^model\s+"([^"]+)"', file.read(), re.MULTILINE)
        assert model is not None, name
        graph = read_graph_file(shipped_path("plans", f"{model[1]}.graph.json.gz"))
        found[graph.model.removeprefix("hf:").partition("?")[0]] = name
    return found


def _verified(document: Document, settings: Settings, reference: str, graph: ModelGraph) -> str:
    """Whether the model computes on ranks what it computes alone."""
    from planc.torch.verify.lowering import lower_for_verify
    from planc.torch.verify.model_under_test import build_model_under_test
    from planc.torch.verify.verify_plan import prepare_to_fork, verify_plan

    prepare_to_fork()
    plan = lower_for_verify(check_document(document, settings, graph))
    subject = build_model_under_test(reference, 0)
    return verify_plan(plan, reference, subject=subject, scenarios=("plain",), timeout=60).verdict


def _run(reference: str, row: Row) -> None:
    """Run the model forward and backward on the CPU: what does not run there is no line of the table."""
    from planc.torch.models.input_rows import sequence_length
    from planc.torch.verify.model_under_test import build_model_under_test
    from planc.torch.verify.random_inputs import InputGenerator

    row["ran"] = False
    try:
        subject = build_model_under_test(reference, 0)
        if sum(prod(p.shape) for p in subject.model.parameters()) > _MAX_PARAMETERS:
            row["not_run"] = "it cannot be made small"
            return
        args, keywords = subject.args, subject.kwargs
        if subject.config is not None:
            generator = InputGenerator(subject, 1, 1, 0)
            args, keywords = generator.make_inputs(ROWS, min(LENGTH, sequence_length(subject.config)))
        result = subject.model(*args, **keywords)
        floats = [item for item in leaves(result, Tensor) if item.requires_grad]
        loss: Any = sum(item.float().pow(2).mean() for item in floats)
        loss.backward()
        row["ran"] = True
    except Exception as raised:  # noqa: BLE001  # a model may fail in any way
        row["not_run"] = _short(f"{type(raised).__name__}: {raised}")
