"""Graphs by the words that name them."""

from __future__ import annotations

import os

from planc.graphs.faults import refuse, whole
from planc.graphs.form import BadGraph
from planc.graphs.read import read
from planc.ir.graph import ModelGraph
from planc.ir.source import Source


def read_graph(path: str, source: Source) -> ModelGraph:
    """The graph of a file.

    Raises:
        CaptureFault: it cannot be read, or holds none.
    """
    try:
        return read(path)
    except BadGraph as bad:
        return refuse(
            "G801", f"{os.path.basename(path)}: {bad}", whole(source, path), "help: capture the model again"
        )
    except OSError as bad:
        return refuse("G801", f"{path}: {(bad.strerror or str(bad)).lower()}", whole(source, path))
    except ValueError:
        return refuse("G801", f"{path!r} is no file name", whole(source))
