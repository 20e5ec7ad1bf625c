"""Writing files that exist."""

from __future__ import annotations

import errno
import os
import tempfile


def write_atomically(path: str, text: str) -> None:
    """Write beside the file and move there, so that it is never half written.

    Raises:
        OSError: the file, or its folder, is not to be written.
    """
    target = os.path.realpath(path)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".planc-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(beside, os.stat(target).st_mode & 0o7777)
        os.replace(beside, target)
    except BaseException:
        os.unlink(beside)
        raise
