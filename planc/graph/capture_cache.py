"""Captures kept in the user's cache folder, by all that a graph depends on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Sequence

from planc.graph.codec import GraphFormatError
from planc.graph.graph_reader import read_graph_file
from planc.graph.graph_writer import write_graph_file
from planc.ir.graph import FORMAT_VERSION, ModelGraph
from planc.paths import GRAPH_SUFFIX, cache_folder
from planc.regular_files import open_regular_file
from planc.version import __version__

VERSIONED_LIBRARIES = ("torch", "transformers")
"""Libraries whose versions change what a model is."""
_MAX_CONFIG_BYTES = 1 << 24


def cached_capture(
    reference: str, capture: Callable[[], ModelGraph], *, inputs: Sequence[str] = (), use_cache: bool = True
) -> ModelGraph:
    """The graph that an earlier run has captured of a model of transformers, or a new one, which is kept.

    Args:
        reference: `hf:CLASS` or `hf:CONFIG.json`, with or without a query.
        capture: captures the model.
        inputs: the inputs that the user sets.
        use_cache: whether the cache is read and written.
    """
    base = cache_folder() if use_cache else None
    key = _cache_key(reference, inputs) if base is not None else None
    if base is None or key is None:
        return capture()
    path = os.path.join(base, f"{key}{GRAPH_SUFFIX}")
    # Where the file is missing or damaged, the model is captured.
    with contextlib.suppress(OSError, GraphFormatError):
        return read_graph_file(path)
    graph = capture()
    with contextlib.suppress(OSError):
        write_graph_file(graph, path)
    return graph


def _cache_key(reference: str, inputs: Sequence[str]) -> str | None:
    """A digest of all that a graph depends on; None: some of it is unknown."""
    versions = [_installed_version(library) for library in VERSIONED_LIBRARIES]
    path, _, query = reference.removeprefix("hf:").partition("?")
    named = [reference.encode()]
    if path.endswith(".json"):
        try:
            with open_regular_file(path) as file:
                named = [os.path.basename(path).encode(), query.encode(), file.read(_MAX_CONFIG_BYTES)]
        except (OSError, ValueError):
            return None
    if None in versions:
        return None
    parts = [f"{FORMAT_VERSION} {__version__} {' '.join(map(str, versions))}".encode(), *named]
    parts += [option.encode() for option in inputs]
    # The length of each part keeps two lists of parts from having one digest.
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest()[:40]


def _installed_version(library: str) -> str | None:
    """The installed version of a library, without importing it.

    Folders are listed first: that takes a tenth of the time of `importlib.metadata`, which a check without torch
    cannot afford.
    """
    for folder in sys.path:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder or "."):
                if name.startswith(f"{library}-") and name.endswith(".dist-info"):
                    return name.removesuffix(".dist-info").partition("-")[2]
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(library)
    return None
