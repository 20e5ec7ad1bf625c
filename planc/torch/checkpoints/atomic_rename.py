"""Put a file or a folder in the place of another one, so that the place is never empty."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""The numbers of AT_FDCWD and RENAME_EXCHANGE, on Linux."""


def move_into_place(new: Path, final: Path, aside: Path) -> Path | None:
    """Move something to its place.

    Where the system cannot exchange two names in one step, there is a moment when `final` does not
    exist and `aside` does.

    Returns:
        Where that lies now which was replaced, if it still exists.
    """
    if not os.path.lexists(final) or not (is_real_folder(new) or is_real_folder(final)):
        os.replace(new, final)
        return None
    if exchange_paths(new, final):
        return new
    os.rename(final, aside)
    os.rename(new, final)
    return aside


def exchange_paths(one: Path, other: Path) -> bool:
    """Exchange two names in one step. False: this system or this file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def is_real_folder(path: Path) -> bool:
    """Whether this is a folder itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def delete_path(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there."""
    if is_real_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        # Some systems have no such thing for folders.
        with contextlib.suppress(OSError) if is_real_folder(path) else contextlib.nullcontext():
            os.fsync(number)
    finally:
        os.close(number)
