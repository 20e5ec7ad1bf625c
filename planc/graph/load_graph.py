"""The graph that a plan is checked against: from a graph file, a shipped one, or a capture.

Only a capture imports torch. A capture of a model of transformers is kept in the user's cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from planc.closest import closest_match
from planc.graph.capture_cache import cached_capture
from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.open_graph import open_graph, refuse_inputs
from planc.ir.graph import ModelGraph
from planc.ir.source import Source
from planc.paths import GRAPH_SUFFIX, GRAPH_SUFFIXES, shipped_graphs, shipped_path


def load_graph(
    reference: str,
    base_folder: str | None = None,
    *,
    named_by_plan: bool = False,
    use_cache: bool = True,
    inputs: Sequence[str] = (),
) -> ModelGraph:
    """The graph of the model that a reference names.

    Args:
        reference: a graph file, the name of a shipped graph, or a model as `planc capture` takes it.
        base_folder: the folder that paths are relative to; by default the current one.
        named_by_plan: whether a plan names the model: then no code of the user is run.
        use_cache: whether to take a graph that an earlier run has captured.
        inputs: inputs for the capture, as `--input` takes them.

    Raises:
        CaptureError: there is no such model, planc cannot capture it, or the reference is a graph and there are inputs.
    """
    source = Source("model" if named_by_plan else "--model", reference)
    reference = reference_from_folder(reference, base_folder)
    if reference.endswith(GRAPH_SUFFIXES) or ":" not in reference:
        if inputs:
            refuse_inputs(inputs)
        is_file = reference.endswith(GRAPH_SUFFIXES)
        return open_graph(reference, source) if is_file else _shipped_graph(reference, source)
    if reference.startswith("hf:"):
        return cached_capture(
            reference, lambda: _capture(reference, source, inputs), inputs=inputs, use_cache=use_cache
        )
    if named_by_plan:
        raise_capture_error(
            "G803", word_label(source), "a plan names no code to run", "needed: hf:CLASS, or a graph file"
        )
    return _capture(reference, source, inputs)


def reference_from_folder(reference: str, folder: str | None) -> str:
    """The reference whose path, relative to `folder`, is made relative to the current folder."""
    if folder is None:
        return reference
    if reference.endswith(GRAPH_SUFFIXES):
        return os.path.join(folder, reference)
    path, mark, query = reference.removeprefix("hf:").partition("?")
    if reference.startswith("hf:") and path.endswith(".json"):
        return f"hf:{os.path.join(folder, path)}{mark}{query}"
    return reference


def _shipped_graph(name: str, source: Source) -> ModelGraph:
    names = shipped_graphs()
    if name not in names:
        raise_capture_error(
            "G803",
            word_label(source),
            f"no graph {name!r} is shipped with planc",
            "needed: a graph file, the name of a shipped graph, or a model that can be captured",
            suggestion=closest_match(name, names),
        )
    return open_graph(shipped_path("plans", f"{name}{GRAPH_SUFFIX}"), source)


def _capture(reference: str, source: Source, inputs: Sequence[str]) -> ModelGraph:
    try:
        from planc.torch.capture.from_reference import capture_reference
    except ImportError as missing:
        raise_capture_error(
            "G802",
            word_label(source),
            "capturing a model needs torch and transformers",
            f"raised: {missing}",
            "help: capture it elsewhere with planc capture, and name the graph file",
        )
    return capture_reference(reference, inputs, source_name=source.name)
