"""Which models a plan may name: a plan may come from anybody, so it names no code and no file outside its folder."""

from __future__ import annotations

from planc.paths import GRAPH_SUFFIXES, shipped_graphs

INPUT_FLAG = "--input"
"""The flag that sets an input of a model."""
NO_MODEL = "none"
"""The reference that asks for a check without a model."""


def is_safe_reference(model: str) -> bool:
    """Whether a plan may name this model: a class or a configuration of transformers, a graph file
    below the plan's folder, or a shipped graph."""
    is_transformers = model.startswith("hf:") and model != "hf:"
    is_file = is_transformers or model.endswith(GRAPH_SUFFIXES)
    return (is_file and not escapes_folder(model)) or model in shipped_graphs()


def escapes_folder(model: str) -> bool:
    """Whether the path in a reference leads out of the plan's folder."""
    path = model.removeprefix("hf:")
    return path.startswith(("/", "~")) or ".." in path.replace("\\", "/").split("/")
