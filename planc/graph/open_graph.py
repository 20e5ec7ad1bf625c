"""Graph files that a command line or a plan names; what is wrong with them as diagnostics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.codec import GraphFormatError
from planc.graph.graph_reader import read_graph_file
from planc.graph.safe_reference import INPUT_FLAG
from planc.ir.graph import ModelGraph
from planc.ir.source import Source


def open_graph(path: str, source: Source) -> ModelGraph:
    """The graph of a file.

    Args:
        path: the file.
        source: the words that name it.

    Raises:
        CaptureError: planc cannot read the file, or it holds no graph.
    """
    label = word_label(source, path)
    try:
        return read_graph_file(path)
    except GraphFormatError as bad:
        return raise_capture_error(
            "G801", label, f"{os.path.basename(path)}: {bad}", "help: capture the model again"
        )
    except OSError as bad:
        return raise_capture_error("G801", label, f"{path}: {(bad.strerror or str(bad)).lower()}")
    except ValueError:
        return raise_capture_error("G801", word_label(source), f"{path!r} is not a valid file name")


def refuse_inputs(inputs: Sequence[str]) -> NoReturn:
    """Refuse inputs for a graph.

    Raises:
        CaptureError: always.
    """
    label = word_label(Source(INPUT_FLAG, inputs[0]))
    raise_capture_error("G804", label, "a graph is captured already: it takes no inputs")
