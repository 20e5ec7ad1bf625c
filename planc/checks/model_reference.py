"""A `model` line that names no model, or one that would run code.

A plan is data. Its `model` line names a class or a configuration of transformers
(`hf:LlamaForCausalLM`, `hf:configs/config.json`), a captured graph
(`llama.graph.json.gz`), or a graph that is shipped with planc (`llama-3-8b`). A model made by
Python code is named on the command line, by whoever means to run that code.

Wrong:

    model "my_package.models:build"

Right:

    model "hf:LlamaForCausalLM"
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.document import Place
from planc.ir.settled import Settings, Settled
from planc.near import nearest
from planc.paths import shipped_graphs

_GRAPHS = (".graph.json", ".graph.json.gz")
_NEEDED = "needed: hf:CLASS, hf:CONFIG.json, a file ending in .graph.json.gz, or a shipped graph"
_FILES = (*_GRAPHS, ".py", ".json")
"""Endings of files: such a name was not meant for a shipped graph."""


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for document in settled.documents:
        model = document.plan.model
        if model is None or is_allowed(model):
            continue
        label = Place(document, ("model",)).label()
        if _leaves_folder(model):
            yield broken("E504", label, "a plan names files of its own folder tree only",
                         "needed: a path below the plan's folder")  # fmt: skip
            continue
        if model and ":" not in model and not model.endswith(_FILES):
            meant = nearest(model, shipped_graphs())
            hint = [f"help: did you mean '{meant}'?"] if meant else []
            yield broken("E504", label, f"no graph '{model}' is shipped with planc", _NEEDED, *hint)
            continue
        yield broken("E504", label, "a plan names no code to run",
                     f"got: {model}", _NEEDED, "help: name other models on the command line")  # fmt: skip


def is_allowed(model: str) -> bool:
    """Whether a plan may name this model."""
    hugging = model.startswith("hf:") and model != "hf:"
    own = (hugging or model.endswith(_GRAPHS)) and not _leaves_folder(model)
    return own or model in shipped_graphs()


def _leaves_folder(model: str) -> bool:
    path = model.removeprefix("hf:")
    return path.startswith(("/", "~")) or ".." in path.replace("\\", "/").split("/")
