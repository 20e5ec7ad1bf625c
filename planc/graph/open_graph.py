"""Graphs by the words that name them."""

from __future__ import annotations

import os

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.codec import GraphFormatError
from planc.graph.graph_reader import read_graph_file
from planc.ir.graph import ModelGraph
from planc.ir.source import Source


def open_graph(path: str, source: Source) -> ModelGraph:
    """The graph of a file.

    Raises:
        CaptureFault: it cannot be read, or holds none.
    """
    try:
        return read_graph_file(path)
    except GraphFormatError as bad:
        return raise_capture_error(
            "G801",
            word_label(source, path),
            f"{os.path.basename(path)}: {bad}",
            "help: capture the model again",
        )
    except OSError as bad:
        return raise_capture_error(
            "G801", word_label(source, path), f"{path}: {(bad.strerror or str(bad)).lower()}"
        )
    except ValueError:
        return raise_capture_error("G801", word_label(source), f"{path!r} is no file name")
