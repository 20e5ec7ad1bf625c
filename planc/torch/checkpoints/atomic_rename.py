"""Replace a file or a folder by another one, so that a reader finds the old one or the new one."""

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
    """Move a file or a folder to its final path.

    Where the system cannot exchange two names atomically, there is a moment when `final` does not
    exist and `aside` does.

    Returns:
        The path of what was replaced, if it still exists.
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
    """Exchange two names atomically, by renameat2(2). False: this system or this file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def is_real_folder(path: Path) -> bool:
    """Whether this is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def delete_path(path: Path) -> None:
    """Delete a file, a link or a folder, if it is there."""
    if is_real_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        # Some systems cannot do that for folders.
        with contextlib.suppress(OSError) if is_real_folder(path) else contextlib.nullcontext():
            os.fsync(number)
    finally:
        os.close(number)
