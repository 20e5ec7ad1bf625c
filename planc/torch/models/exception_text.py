"""Exceptions of the user's code as notes of a diagnostic."""

from __future__ import annotations

import importlib
import os
import traceback

import torch

_MAX_LENGTH = 300
_PLANC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_FOREIGN = (
    "<frozen",
    *[
        os.path.join(os.path.dirname(os.path.abspath(file)), "")
        for file in (torch.__file__, importlib.__file__)
    ],
    os.path.join(_PLANC, ""),
)
"""How the paths of files begin that are not the user's."""


def exception_notes(raised: BaseException) -> list[str]:
    """What was raised, and where in the user's code, as notes."""
    location = exception_location(raised)
    return [f"raised: {exception_line(raised)}", *([f"where: {location}"] if location else [])]


def exception_line(raised: BaseException) -> str:
    """The last line of an exception, shortened."""
    lines = traceback.format_exception_only(raised)
    text = " ".join((lines[-1] if lines else "").split()) or type(raised).__name__
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def exception_location(raised: BaseException) -> str | None:
    """The innermost file, line and function of the user's code that an exception has passed."""
    if isinstance(raised, SyntaxError) and raised.filename and os.path.exists(raised.filename):
        return f"{_short_path(raised.filename)}:{raised.lineno}"
    frames = traceback.extract_tb(raised.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_FOREIGN)]
    if not own:
        return None
    last = own[-1]
    return f"{_short_path(last.filename)}:{last.lineno} in {last.name}"


def _short_path(path: str) -> str:
    """The path of a file, from the current folder if it lies below that."""
    return path.removeprefix(os.path.join(os.getcwd(), ""))
