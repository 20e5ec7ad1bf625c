"""The graph that a plan is checked against: a file, a shipped one, or one that is captured
once and kept in the user's cache folder. Only a capture imports torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys

from planc.closest import closest_match
from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.codec import GraphFormatError
from planc.graph.graph_reader import read_graph_file
from planc.graph.graph_writer import GRAPH_SUFFIX, GRAPH_SUFFIXES, write_graph_file
from planc.graph.open_graph import open_graph
from planc.ir.graph import FORMAT_VERSION, ModelGraph
from planc.ir.source import Source
from planc.paths import cache_folder, shipped_graphs, shipped_path

VERSIONED_LIBRARIES = ("torch", "transformers")
"""A model may be another one in another version of these."""


def load_graph(
    reference: str, base_folder: str | None = None, *, named_by_plan: bool = False, use_cache: bool = True
) -> ModelGraph:
    """The graph that a reference names.

    Args:
        reference: a graph file, the name of a shipped graph, or what `planc capture` takes.
        folder: what paths are relative to; by default the current folder.
        of_plan: a plan says it: then no code of the user is run.
        use_cache: whether a graph that was captured before will do.

    Raises:
        CaptureFault: there is no such model, or it cannot be captured.
    """
    source = Source("model" if named_by_plan else "--model", reference)
    reference = reference_from_folder(reference, base_folder)
    if reference.endswith(GRAPH_SUFFIXES):
        return open_graph(reference, source)
    if ":" not in reference:
        return _shipped(reference, source)
    is_hugging = reference.startswith("hf:")
    if named_by_plan and not is_hugging:
        raise_capture_error(
            "G803", word_label(source), "a plan names no code to run", "needed: hf:CLASS, or a graph file"
        )
    if not is_hugging:
        return _captured(reference, source)
    return _kept(reference, source, use_cache=use_cache)


def reference_from_folder(reference: str, folder: str | None) -> str:
    """A reference with the path that it has as seen from the current folder."""
    if folder is None:
        return reference
    if reference.endswith(GRAPH_SUFFIXES):
        return os.path.join(folder, reference)
    path, mark, query = reference.removeprefix("hf:").partition("?")
    if reference.startswith("hf:") and path.endswith(".json"):
        return f"hf:{os.path.join(folder, path)}{mark}{query}"
    return reference


def _shipped(name: str, source: Source) -> ModelGraph:
    every = shipped_graphs()
    if name not in every:
        raise_capture_error(
            "G803",
            word_label(source),
            f"no graph {name!r} is shipped with planc",
            "needed: a graph file, the name of a shipped graph, or a model that can be captured",
            suggestion=closest_match(name, every),
        )
    return open_graph(shipped_path("plans", f"{name}{GRAPH_SUFFIX}"), source)


def _kept(reference: str, source: Source, *, use_cache: bool) -> ModelGraph:
    """The graph that was kept of a model, or a new one, which is kept."""
    base = cache_folder()
    key = _key(reference) if base is not None and use_cache else None
    if base is None or key is None:
        return _captured(reference, source)
    path = os.path.join(base, f"{key}{GRAPH_SUFFIX}")
    # A damaged file, or none: the model is captured anew.
    with contextlib.suppress(OSError, GraphFormatError):
        return read_graph_file(path)
    graph = _captured(reference, source)
    with contextlib.suppress(OSError):
        write_graph_file(graph, path)
    return graph


def _captured(reference: str, source: Source) -> ModelGraph:
    try:
        from planc.torch.capture.from_reference import capture_reference
    except ImportError as missing:
        raise_capture_error("G802", word_label(source), "capturing a model needs torch and transformers", f"raised: {missing}",
               "help: capture it elsewhere with planc capture, and name the graph file")  # fmt: skip
    return capture_reference(reference, source_name=source.name)


def _key(reference: str) -> str | None:
    """A name for what a graph depends on; None: that cannot be told."""
    from planc.version import __version__

    versions = [_version(library) for library in VERSIONED_LIBRARIES]
    path, _, query = reference.removeprefix("hf:").partition("?")
    named: list[bytes] = [reference.encode()]
    if path.endswith(".json"):
        try:
            with open(path, "rb") as file:
                named = [os.path.basename(path).encode(), query.encode(), file.read(1 << 24)]
        except (OSError, ValueError):
            return None
    if None in versions:
        return None
    parts = [f"{FORMAT_VERSION} {__version__} {' '.join(map(str, versions))}".encode(), *named]
    # The length of each part keeps two lists of parts from reading alike.
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest()[:40]


def _version(library: str) -> str | None:
    """The installed version. Folders are looked through first: it is ten times faster than
    `importlib.metadata`, and all that a check without torch can afford."""
    for place in sys.path:
        with contextlib.suppress(OSError):
            for name in os.listdir(place or "."):
                if name.startswith(f"{library}-") and name.endswith(".dist-info"):
                    return name.removesuffix(".dist-info").partition("-")[2]
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(library)
    return None
