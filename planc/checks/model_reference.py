"""A `model` line that names no model, or one that would run code.

A plan is data. Its `model` line names a class or a configuration of transformers
(`hf:LlamaForCausalLM`, `hf:configs/config.json`), a captured graph (`llama.graph.json.gz`), or
a graph that is shipped with planc (`llama-3-8b`). If Python code builds the model, whoever
wants to run that code names it on the command line.

Wrong:

    model "my_package.models:build"

Right:

    model "hf:LlamaForCausalLM"
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.closest import closest_match
from planc.graph.safe_reference import escapes_folder, is_safe_reference
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.resolved import Resolved, Settings
from planc.paths import shipped_graphs

_NEEDED = "needed: hf:CLASS, hf:CONFIG.json, a file ending in .graph.json.gz, or a shipped graph"
_FILE_ENDINGS = (".graph.json", ".graph.json.gz", ".py", ".json")
"""A name with one of these was not meant for a shipped graph."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for document in resolved.documents:
        model = document.plan.model
        if model is None or is_safe_reference(model):
            continue
        label = PlanPath(document, ("model",)).label()
        if escapes_folder(model):
            yield diagnostic("E504", label, "a plan may only name files below its own folder",
                         "needed: a path below the plan's folder")  # fmt: skip
            continue
        if model and ":" not in model and not model.endswith(_FILE_ENDINGS):
            closest = closest_match(model, shipped_graphs())
            hint = [f"help: did you mean '{closest}'?"] if closest else []
            yield diagnostic("E504", label, f"planc ships no graph '{model}'", _NEEDED, *hint)
            continue
        yield diagnostic("E504", label, "a plan may not name code to run",
                     f"got: {model}", _NEEDED, "help: name other models on the command line")  # fmt: skip
