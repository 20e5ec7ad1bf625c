"""Runs a model once on fake tensors, and makes a graph of what the recorder saw."""

from __future__ import annotations

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
from planc.torch.capture.fake_workarounds import (
    record_checkpointed_functions,
    record_opaque_functions,
    skip_unchanged_conversions,
)
from planc.torch.capture.module_definitions import attributes_used, module_definitions
from planc.torch.capture.name_scope import NameScope
from planc.torch.capture.recorder import Recorder
from planc.torch.capture.second_runs import rerun_hidden_flows, second_runs_of_functions
from planc.torch.capture.settings_writes import record_settings_writes
from planc.torch.capture.side_effects import (
    StateSnapshot,
    gradient_hooks,
    record_environment_queries,
    state_read_by_next_pass,
)
from planc.torch.capture.size_leaks import resolve_maybe_escaped
from planc.torch.capture.tensor_table import tensor_info, tensors_in
from planc.torch.capture.trace_records import OpRecord
from planc.torch.capture.tracked_attributes import track_attributes
from planc.torch.compat import FakeTensorMode, without_compilation
from planc.torch.models.value_checks import quiet_fake_tensors, without_value_checks


class CaptureTarget(Record):
    """A model to capture, and what it is called with."""

    reference: str
    """The reference that the graph keeps."""
    model: nn.Module
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    facts: Mapping[str, int | bool]
    versions: Mapping[str, str]
    input_options: tuple[str, ...] = ()
    """The inputs that the user has set."""
    training: bool = True
    """Whether the model is captured in training, or in eval mode."""


class TraceError(Exception):
    """An exception that ended the run of a model."""

    def __init__(self, module: str, last_op: str, raised: BaseException) -> None:
        """
        Args:
            module: the module that ran, by its name.
            last_op: the last operation that ran.
            raised: the exception.
        """
        super().__init__(str(raised))
        self.module, self.last_op, self.raised = module, last_op, raised


def trace(target: CaptureTarget) -> ModelGraph:
    """The graph of a model. This changes the model: do not use it afterwards.

    Raises:
        TraceError: the model raises, or does something that planc cannot capture.
    """
    model = target.model.train(target.training)
    hooks = gradient_hooks(model)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            faker, input_faker = ModelFaker(), ModelFaker()
            faker.fake_model(model)
            # By a faker of their own: an input is another tensor than a weight, even if it is the same object.
            arguments = input_faker.fake_item(tuple(target.arguments))
            keywords = input_faker.fake_item(dict(target.keywords))
    except Exception as raised:
        raise TraceError("", "", raised) from raised
    recorder = Recorder(model, faker.weights_in_attributes)
    names = NameScope(model)
    modules = list(model.modules())
    copies = track_attributes(model, recorder)
    for module in modules:
        module.register_forward_pre_hook(_begin_hook(recorder), with_kwargs=True, prepend=True)
        module.register_forward_hook(_end_hook(recorder), with_kwargs=True)

    def forward() -> None:
        with recorder:
            model(*arguments, **keywords)

    try:
        with (
            _deterministic_and_quiet(),
            without_compilation(),
            without_value_checks(keywords),
            record_opaque_functions(recorder),
            record_checkpointed_functions(),
            skip_unchanged_conversions(),
            record_environment_queries(recorder),
            record_settings_writes(recorder, copies),
            mode,
        ):
            snapshot = StateSnapshot(model)
            forward()
            again: dict[int, str] = {}
            changes: list[OpRecord] = []
            if recorder.root is not None:
                recorder.root.steps += snapshot.changes_since(recorder)
                again = rerun_hidden_flows(recorder, model, snapshot.changed_modules)
                changes = state_read_by_next_pass(recorder, snapshot, forward)
    except Exception as raised:
        module_name = recorder.open_calls[-1].module if recorder.open_calls else ""
        raise TraceError(module_name, recorder.last_op, raised) from raised
    root = recorder.root
    if root is None:
        raise TraceError("", "", RuntimeError("the model's forward is never called"))
    root.steps[:] = [*hooks, *root.steps, *changes]
    resolve_maybe_escaped(root)
    eliminate_dead_code(root)
    deduplicator = FunctionDeduplicator(recorder.table.tensors, names)
    functions = deduplicator.deduplicate(root)
    return ModelGraph(
        target.reference,
        dict(target.versions),
        dict(target.facts),
        input_infos(arguments, keywords),
        module_definitions(model, attributes_used(root, names)),
        functions,
        names.ties,
        names.buffer_ties,
        target.input_options,
        deduplicator.source_lines,
        second_runs_of_functions(functions, deduplicator.function_of, again),
    )


def _begin_hook(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return recorder.begin_call(module, arguments, keywords)

    return hook


def _end_hook(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], result: Any) -> Any:
        references = sys.getrefcount(result)  # counted as `unshared_refcount` counts them
        return recorder.end_call(result, unshared=references <= unshared_refcount())

    return hook


@contextmanager
def _deterministic_and_quiet() -> Iterator[None]:
    """Let random choices of the model's code be the same in every capture, and silence torch's log."""
    state = random.getstate()
    random.seed(0)
    try:
        with quiet_fake_tensors():
            yield
    finally:
        random.setstate(state)


def input_infos(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, TensorInfo]:
    """The tensors that a model is called with, by keyword, or by position written as a number."""
    found: dict[str, TensorInfo] = {}
    named = {**{str(index): item for index, item in enumerate(arguments)}, **keywords}
    for name, item in named.items():
        for index, tensor in enumerate(tensors_in(item)):
            found[name if isinstance(item, Tensor) else f"{name}.{index}"] = tensor_info(tensor)
    return found
