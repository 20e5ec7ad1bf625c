"""What faults of a capture say: names that were meant, exceptions that code raised."""

from __future__ import annotations

import os
import traceback

from planc.closest import closest_match


def closest_name(word: str, names: list[str]) -> str | None:
    """The name that was meant, also where only the case is wrong."""
    folded = {name.lower(): name for name in names}
    return folded.get(word.lower()) or closest_match(word, names)


def exception_line(raised: BaseException) -> str:
    """The last line of an exception."""
    lines = traceback.format_exception_only(raised)
    text = " ".join((lines[-1] if lines else "").split()) or type(raised).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def exception_location(raised: BaseException) -> str | None:
    """The place in the model's own code where an exception was raised."""
    frames = traceback.extract_tb(raised.__traceback__)
    foreign = ("/torch/", "\\torch\\", "<frozen", "importlib")
    own = [frame for frame in frames if not any(part in frame.filename for part in foreign)]
    if not own:
        return None
    last = own[-1]
    here = os.path.join(os.getcwd(), "")
    return f"{last.filename.removeprefix(here)}:{last.lineno} in {last.name}"
