"""Put a file or a folder in the place of another one, so that the place is never empty."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from pathlib import Path

_HERE, _EXCHANGE = -100, 2
"""The numbers of AT_FDCWD and RENAME_EXCHANGE, on Linux."""


def put(new: Path, final: Path, aside: Path) -> Path | None:
    """Move something to its place.

    Where the system cannot exchange two names in one step, there is a moment when `final` does not
    exist and `aside` does.

    Returns:
        Where that lies now which was replaced, if it still exists.
    """
    if not os.path.lexists(final) or not (is_folder(new) or is_folder(final)):
        os.replace(new, final)
        return None
    if exchange(new, final):
        return new
    os.rename(final, aside)
    os.rename(new, final)
    return aside


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. False: this system or this file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def is_folder(path: Path) -> bool:
    """Whether this is a folder itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def delete(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        # Some systems have no such thing for folders.
        with contextlib.suppress(OSError) if is_folder(path) else contextlib.nullcontext():
            os.fsync(number)
    finally:
        os.close(number)
