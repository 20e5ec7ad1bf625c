"""Exceptions of the user's code as notes of a diagnostic."""

from __future__ import annotations

import os
import traceback

_MAX_LENGTH = 300
_PLANC = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_FOREIGN = (os.path.join(_PLANC, ""), "/torch/", "\\torch\\", "<frozen", "importlib")
"""Parts of the paths of files that are not the user's."""


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
    frames = traceback.extract_tb(raised.__traceback__)
    own = [frame for frame in frames if not any(part in frame.filename for part in _FOREIGN)]
    if not own:
        return None
    last = own[-1]
    current_folder = os.path.join(os.getcwd(), "")
    return f"{last.filename.removeprefix(current_folder)}:{last.lineno} in {last.name}"
