"""Where the model's own code is, and what it says there, for messages that lead to it."""

from __future__ import annotations

import inspect
import linecache
import os
import sysconfig
from itertools import islice
from types import FrameType

import torch

MAX_LENGTH = 160
_LIBRARIES = tuple([
    os.path.join(os.path.abspath(path), "")
    for path in (
        *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
        os.path.dirname(torch.__file__),
        os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
    )
])  # fmt: skip
"""Folders whose code is not the user's: nobody changes it for a plan."""

_CALLERS = tuple([os.path.join(os.path.dirname(__file__), name) for name in ("trace.py", "second_runs.py")])
"""The files that call models: what is further out calls planc."""


def calling_line() -> str:
    """The file, the line and the text of the call in the model's code that runs; "" where a library runs by itself."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and _is_library(frame.f_code.co_filename):
        frame = None if frame.f_code.co_filename in _CALLERS else frame.f_back
    if frame is None:
        return ""
    code = frame.f_code
    start, end, first, last = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    place = f"{os.path.basename(code.co_filename)}:{frame.f_lineno}"
    if start is None or end is None or first is None or last is None:
        return place
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(start, end + 1)]
    # Columns count bytes. The end is cut first: both may be in one line.
    lines[-1] = lines[-1][:last]
    lines[0] = lines[0][first:]
    text = " ".join(b" ".join(lines).decode(errors="replace").split())
    return f"{place}: {text}" if text and len(text) <= MAX_LENGTH else place


def _is_library(path: str) -> bool:
    return path.startswith((*_LIBRARIES, "<frozen"))
