"""Runs a model once on fake tensors, and makes a graph of what was seen."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from planc.ir.graph import ModelGraph, TensorInfo
from planc.ir.record import Record
from planc.torch.capture.boundary_aliases import unshared_refcount
from planc.torch.capture.dead_code import eliminate_dead_code
from planc.torch.capture.deduplicate import FunctionDeduplicator
from planc.torch.capture.fake_model import ModelFaker
from planc.torch.capture.fake_workarounds import assume_unpacked_sequences, record_opaque_functions
from planc.torch.capture.module_definitions import attributes_used, module_definitions
from planc.torch.capture.name_scope import NameScope
from planc.torch.capture.recorder import Recorder
from planc.torch.capture.side_effects import (
    StateSnapshot,
    gradient_hooks,
    record_environment_queries,
    state_read_by_next_pass,
)
from planc.torch.capture.size_leaks import resolve_maybe_escaped
from planc.torch.capture.tensor_table import tensor_info, tensors_in
from planc.torch.capture.tracked_attributes import track_attributes
from planc.torch.compat import FAKE_TENSOR_LOGGER, FakeTensorMode


class CaptureTarget(Record):
    """What is captured."""

    reference: str
    model: nn.Module
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    facts: Mapping[str, int | bool]
    versions: Mapping[str, str]


class TraceError(Exception):
    """The run of a model ended early: where, at what, and by which exception."""

    def __init__(self, module: str, operation: str, raised: BaseException) -> None:
        super().__init__(str(raised))
        self.module, self.last_op, self.raised = module, operation, raised


def trace(target: CaptureTarget) -> ModelGraph:
    """The graph of a model. The model is spent afterwards.

    Raises:
        Ended: the model raised, or does what cannot be captured.
    """
    model = target.model.train()
    hooks = gradient_hooks(model)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            faker = ModelFaker()
            faker.fake_model(model)
            # What the model holds is not what it is handed, even where it is the same tensor.
            outside = ModelFaker()
            arguments = outside.fake_item(tuple(target.arguments))
            keywords = outside.fake_item(dict(target.keywords))
    except Exception as raised:
        raise TraceError("", "", raised) from raised
    recorder = Recorder(model, faker.weights_in_attributes)
    names = NameScope(model)
    modules = list(model.modules())
    track_attributes(model, recorder)
    for module in modules:
        module.register_forward_pre_hook(_begin(recorder), with_kwargs=True, prepend=True)
        module.register_forward_hook(_end(recorder), with_kwargs=True)

    def forward() -> None:
        with recorder:
            model(*arguments, **keywords)

    try:
        with (
            _steady(),
            assume_unpacked_sequences(keywords),
            record_opaque_functions(recorder),
            record_environment_queries(recorder),
            mode,
        ):
            before = StateSnapshot(model)
            forward()
            changes = before.changes_since(recorder) if recorder.root is not None else []
            changes += state_read_by_next_pass(recorder, before, forward)
    except Exception as raised:
        module_name = recorder.frames[-1].module if recorder.frames else ""
        raise TraceError(module_name, recorder.last_op, raised) from raised
    root = recorder.root
    if root is None:
        raise TraceError("", "", RuntimeError("the model's forward is never called"))
    root.steps[:] = [*hooks, *root.steps, *changes]
    resolve_maybe_escaped(root)
    eliminate_dead_code(root)
    functions = FunctionDeduplicator(recorder.table.tensors, names).deduplicate(root)
    return ModelGraph(
        target.reference,
        dict(target.versions),
        dict(target.facts),
        input_infos(arguments, keywords),
        module_definitions(model, attributes_used(root, names)),
        functions,
        names.ties,
    )


def _begin(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return recorder.begin_call(module, arguments, keywords)

    return hook


def _end(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], result: Any) -> Any:
        holders = sys.getrefcount(result)  # as the probe counts them: nothing else is on the stack
        return recorder.end_call(result, unshared=holders <= unshared_refcount())

    return hook


@contextmanager
def _steady() -> Iterator[None]:
    """Let random choices of the model's code fall out alike in every capture, and nobody log."""
    state = random.getstate()
    random.seed(0)
    # A model that raises is reported once, by us.
    logger = logging.getLogger(FAKE_TENSOR_LOGGER)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        random.setstate(state)
        logger.setLevel(level)


def input_infos(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, TensorInfo]:
    """The tensors that a model is called with, by position or keyword."""
    found: dict[str, TensorInfo] = {}
    named = {**{str(place): item for place, item in enumerate(arguments)}, **keywords}
    for name, item in named.items():
        inner = list(tensors_in(item))
        for place, tensor in enumerate(inner):
            found[name if isinstance(item, Tensor) else f"{name}.{place}"] = tensor_info(tensor)
    return found
