"""Files replaced atomically."""

from __future__ import annotations

import errno
import os
import tempfile


def write_atomically(path: str, text: str) -> None:
    """Replace the text of a file: written to a temporary file in its folder and renamed, so that it is never
    half written.

    Raises:
        OSError: the file or its folder cannot be written.
    """
    target = os.path.realpath(path)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".planc-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
