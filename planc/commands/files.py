"""Writing files that exist."""

from __future__ import annotations

import os
import tempfile


def replace_file(path: str, text: str) -> None:
    """Write beside the file and move there, so that it is never half written."""
    target = os.path.realpath(path)
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".planc-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(beside, os.stat(target).st_mode & 0o7777)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
