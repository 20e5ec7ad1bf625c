"""Runs a model once on fake tensors, and makes a graph of what was seen."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from planc.ir.graph import ModelGraph, TensorInfo
from planc.ir.record import Record
from planc.torch.aliases import of_nobody
from planc.torch.attributes import track
from planc.torch.beyond import Before, hooks_of, kept, questions_told
from planc.torch.eager import as_in_training, functions_told
from planc.torch.fake import Faker
from planc.torch.fold import Folder
from planc.torch.modules import attributes_read, definitions
from planc.torch.names import Names
from planc.torch.prune import prune
from planc.torch.recorder import Recorder
from planc.torch.taken import settle
from planc.torch.tensors import info_of, tensors_in


class Subject(Record):
    """What is captured."""

    reference: str
    model: nn.Module
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    facts: Mapping[str, int | bool]
    versions: Mapping[str, str]


class Ended(Exception):
    """The run of a model ended early: where, at what, and by which exception."""

    def __init__(self, module: str, operation: str, raised: BaseException) -> None:
        super().__init__(str(raised))
        self.module, self.operation, self.raised = module, operation, raised


def run(subject: Subject) -> ModelGraph:
    """The graph of a model. The model is spent afterwards.

    Raises:
        Ended: the model raised, or does what cannot be captured.
    """
    model = subject.model.train()
    hooks = hooks_of(model)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            faker = Faker()
            faker.model(model)
            # What the model holds is not what it is handed, even where it is the same tensor.
            outside = Faker()
            arguments = outside.item(tuple(subject.arguments))
            keywords = outside.item(dict(subject.keywords))
    except Exception as raised:
        raise Ended("", "", raised) from raised
    recorder = Recorder(model, faker.beside)
    names = Names(model)
    modules = list(model.modules())
    track(model, recorder)
    for module in modules:
        module.register_forward_pre_hook(_begin(recorder), with_kwargs=True, prepend=True)
        module.register_forward_hook(_end(recorder), with_kwargs=True)

    def forward() -> None:
        with recorder:
            model(*arguments, **keywords)

    try:
        with _steady(), as_in_training(keywords), functions_told(recorder), questions_told(recorder), mode:
            before = Before(model)
            forward()
            changes = before.changes(recorder) if recorder.root is not None else []
            changes += kept(recorder, before, forward)
    except Exception as raised:
        module_name = recorder.frames[-1].module if recorder.frames else ""
        raise Ended(module_name, recorder.operation, raised) from raised
    root = recorder.root
    if root is None:
        raise Ended("", "", RuntimeError("the model's forward is never called"))
    root.steps[:] = [*hooks, *root.steps, *changes]
    settle(root)
    prune(root)
    functions = Folder(recorder.ledger.tensors, names).fold(root)
    return ModelGraph(
        subject.reference,
        dict(subject.versions),
        dict(subject.facts),
        input_infos(arguments, keywords),
        definitions(model, attributes_read(root, names)),
        functions,
        names.ties,
    )


def _begin(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return recorder.begin(module, arguments, keywords)

    return hook


def _end(recorder: Recorder) -> Any:
    def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], result: Any) -> Any:
        holders = sys.getrefcount(result)  # as the probe counts them: nothing else is on the stack
        return recorder.end(result, fresh=holders <= of_nobody())

    return hook


@contextmanager
def _steady() -> Iterator[None]:
    """Let random choices of the model's code fall out alike in every capture, and nobody log."""
    state = random.getstate()
    random.seed(0)
    # A model that raises is reported once, by us.
    logger = logging.getLogger("torch._subclasses.fake_tensor")
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
            found[name if isinstance(item, Tensor) else f"{name}.{place}"] = info_of(tensor)
    return found
