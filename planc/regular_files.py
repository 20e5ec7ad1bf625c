"""Files that users name: opening one never waits, whatever stands at the path."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "is a directory"),
    (stat.S_ISFIFO, errno.ESPIPE, "is a pipe, not a regular file"),
    (stat.S_ISSOCK, errno.ESPIPE, "is a socket, not a regular file"),
    (stat.S_ISCHR, errno.EINVAL, "is a device, not a regular file"),
    (stat.S_ISBLK, errno.EINVAL, "is a device, not a regular file"),
)


def open_regular_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. A pipe would block until another process writes, and a device may never end:
    both are refused at once.

    Raises:
        OSError: there is no such file, it cannot be read, or it is not a regular file; `strerror` says which.
        ValueError: the path has a NUL character.
    """
    check_regular_file(path)
    # The path may name something else by now: opening must not block, and the open file is checked again.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_mode(os.fstat(file).st_mode, path)
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def check_regular_file(path: str | os.PathLike[str]) -> None:
    """Check that a path names a regular file, without opening it.

    Raises:
        OSError: there is none, or it is not a regular file; `strerror` says which.
        ValueError: the path has a NUL character.
    """
    _check_mode(os.stat(path).st_mode, path)


def _check_mode(mode: int, path: str | os.PathLike[str]) -> None:
    for is_kind, number, text in _KINDS:
        if is_kind(mode):
            raise OSError(number, text, os.fspath(path))
